"""The bench's peer: PromptSRC's training step and test in plain PyTorch, written from the formulas of the paper and from what the official
code does (muzairkhattak/PromptSRC): all 77 tokens of every class, every token through every block, a second, frozen image encoder run
on the same pictures, class features made anew for every test batch. float32; frozen weights have no gradient; attention is PyTorch's own.

With --tuned, the same as an engineer tunes it who keeps the model as it is: texts are cut behind the longest one's end token (the causal
mask hides what comes after it), blocks are compiled by torch.compile, and both image passes share one copy of the weights. The products of
queries, keys and values are one, attention is the fused kernel, and the frozen text features are made once: that the plain peer does too.

    python peer.py JOB THREADS [MODEL INPUTS] [--tuned] [--device cuda] [--precision float32|tf32|autocast]
                                                a job (src/results/benchFile.ts) as JSON; for all but a product the folder of a model and the file that
                                                both sides start from. Prints the outcome as a line of JSON.
"""
import argparse
import itertools
import json
import platform
import resource
import struct
import sys
import time

import torch
import torch.nn.functional as F


def read_safetensors(path):
    """Tensors of a safetensors file as float32, and its metadata."""
    types = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        start = 8 + length
        metadata = header.pop("__metadata__", {})
        tensors = {}
        for name, entry in header.items():
            begin, end = entry["data_offsets"]
            file.seek(start + begin)
            flat = torch.frombuffer(bytearray(file.read(end - begin)), dtype=types[entry["dtype"]])
            tensors[name] = flat.reshape(entry["shape"]).float().to(torch.get_default_device())
    return tensors, metadata


class Tower:
    """Weights of one tower under transformers' names; `weights` are frozen."""

    def __init__(self, weights, prefix, settings):
        self.width = settings.get("hidden_size", 512 if prefix == "text_model" else 768)
        self.heads = settings["num_attention_heads"]
        if settings.get("hidden_act", "quick_gelu") != "quick_gelu":
            raise SystemExit("the peer knows QuickGELU only")
        pair = lambda name: (weights[f"{name}.weight"], weights[f"{name}.bias"])
        self.blocks = []
        for i in range(settings["num_hidden_layers"]):
            layer = f"{prefix}.encoder.layers.{i}"
            maps = [pair(f"{layer}.self_attn.{m}_proj") for m in "qkv"]
            qkv = tuple(torch.cat(parts) for parts in zip(*maps))  # one product, as torch.nn.MultiheadAttention has it
            names = ["layer_norm1", "self_attn.out_proj", "layer_norm2", "mlp.fc1", "mlp.fc2"]
            self.blocks.append((qkv, *(pair(f"{layer}.{name}") for name in names)))

    def norm(self, x, weights):
        return F.layer_norm(x, (self.width,), *weights, 1e-5)

    def block(self, x, weights, causal):
        """x: [G,T,D] -> [G,T,D], openai/CLIP model.py, ResidualAttentionBlock."""
        qkv, norm1, out, norm2, up, down = weights
        groups, tokens, width = x.shape
        heads = F.linear(self.norm(x, norm1), *qkv).view(groups, tokens, 3, self.heads, width // self.heads)
        q, k, v = heads.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
        x = x + F.linear(mixed.transpose(1, 2).reshape(groups, tokens, width), *out)
        hidden = F.linear(self.norm(x, norm2), *up)
        return x + F.linear(hidden * torch.sigmoid(1.702 * hidden), *down)


class TextTower(Tower):
    def __init__(self, weights, settings):
        super().__init__(weights, "text_model", settings)
        self.tokens = weights["text_model.embeddings.token_embedding.weight"]
        self.positions = weights["text_model.embeddings.position_embedding.weight"]
        self.final = (weights["text_model.final_layer_norm.weight"], weights["text_model.final_layer_norm.bias"])
        self.projection = weights["text_projection.weight"]

    def encode(self, ids, prompts):
        """ids [C,T] -> features [C,E] of unit length. The prompts stand at positions 1..P."""
        classes = len(ids)
        x = F.embedding(ids, self.tokens)
        enter = lambda x, p: torch.cat([x[:, :1], p.expand(classes, -1, -1), x[:, 1 + len(p) :]], 1)
        if prompts:
            x = enter(x, prompts[0])
        x = x + self.positions[: ids.shape[1]]
        for i, weights in enumerate(self.blocks):
            if 0 < i < len(prompts):
                x = enter(x, prompts[i])
            x = self.block(x, weights, True)
        ends = self.norm(x, self.final)[torch.arange(classes), ids.argmax(1)]
        return F.normalize(F.linear(ends, self.projection))


class ImageTower(Tower):
    def __init__(self, weights, settings):
        super().__init__(weights, "vision_model", settings)
        embeddings = "vision_model.embeddings"
        self.cls = weights[f"{embeddings}.class_embedding"]
        self.patches = weights[f"{embeddings}.patch_embedding.weight"]
        self.positions = weights[f"{embeddings}.position_embedding.weight"]
        pair = lambda name: (weights[f"vision_model.{name}.weight"], weights[f"vision_model.{name}.bias"])
        self.pre, self.post = pair("pre_layrnorm"), pair("post_layernorm")
        self.projection = weights["visual_projection.weight"]

    def encode(self, pixels, prompts):
        """pixels [B,3,R,R] -> features [B,E] of unit length. The prompts are the last tokens."""
        images = len(pixels)
        patches = F.conv2d(pixels, self.patches, stride=self.patches.shape[-1]).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls.expand(images, 1, -1), patches], 1) + self.positions
        own = x.shape[1]
        enter = lambda x, p: torch.cat([x[:, :own], p.expand(images, -1, -1)], 1)
        if prompts:
            x = enter(x, prompts[0])
        x = self.norm(x, self.pre)
        for i, weights in enumerate(self.blocks):
            if 0 < i < len(prompts):
                x = enter(x, prompts[i])
            x = self.block(x, weights, False)
        return F.normalize(F.linear(self.norm(x[:, 0], self.post), self.projection))


def promptsrc_terms(f, g, frozen_f, frozen_g, labels, settings):
    """L_CE + lambda_1 L_SCL-text + lambda_2 L_SCL-image + L_SCL-logits (equations 2 to 5, reductions as in the official code)."""
    scale, weights = settings["logitScale"], settings["weights"]
    logits = scale * f @ g.T
    log0 = F.log_softmax(scale * frozen_f @ frozen_g.T, 1)
    terms = {
        "ce": F.cross_entropy(logits, labels),
        "scl_text": weights["text"] * F.l1_loss(g, frozen_g),
        "scl_image": weights["image"] * F.l1_loss(f, frozen_f),
        "scl_logits": weights["logits"] * F.kl_div(F.log_softmax(logits, 1), log0, reduction="sum", log_target=True) / logits.numel(),
    }
    return {**terms, "total": sum(terms.values())}


class Watch:
    def __init__(self):
        self.last = time.perf_counter()
        self.times = {}

    def mark(self, phase):
        if torch.get_default_device().type == "cuda":
            torch.cuda.synchronize()
        now = time.perf_counter()
        self.times[phase] = self.times.get(phase, 0) + now - self.last
        self.last = now


def timed(repeat, least=5, patience=5):
    """
    Warms up for two repeats and `patience` seconds (one repeat if it takes over 20 s); then at least `least` repeats, and more for as long,
    but no further one after a minute.
    """
    begun = time.perf_counter()
    for k in itertools.count():
        spent = time.perf_counter() - begun
        if spent > 20 or k >= 2 and spent > patience:
            break
        repeat()
    repeats, begun = [], time.perf_counter()
    while True:
        repeats.append(repeat())
        spent = time.perf_counter() - begun
        if spent > 60 or len(repeats) >= least and (spent > patience or len(repeats) >= 100):
            break
    phases = []
    for phase in repeats[0]:
        times = sorted(times[phase] for times in repeats)
        median = (times[(len(times) - 1) // 2] + times[len(times) // 2]) / 2
        phases.append({"phase": phase, "seconds": median, "fastest": times[0], "slowest": times[-1], "repeats": len(times)})
    return phases


def step(job, model):
    """The training step: frozen part, forward, backward, SGD."""
    params = [*model["text prompts"], *model["image prompts"]]
    settings = model["settings"]
    optimiser = torch.optim.SGD(params, settings["lr"], settings["momentum"], weight_decay=settings["weightDecay"])
    first = {}

    def repeat():
        watch = Watch()
        begun = watch.last
        with torch.no_grad():
            frozen_f = model["frozen image"].encode(model["pixels"], [])
        watch.mark("frozen part")
        f = model["image"].encode(model["pixels"], model["image prompts"])
        g = model["text"].encode(model["ids"], model["text prompts"])
        terms = promptsrc_terms(f, g, frozen_f, model["frozen text"], model["labels"], settings)
        watch.mark("forward")
        optimiser.zero_grad()
        terms["total"].backward()
        watch.mark("backward")
        optimiser.step()
        first.update({} if first else {name: term.item() for name, term in terms.items()})
        watch.mark("optimiser")
        return {"step": watch.last - begun, **watch.times}

    return {"phases": timed(repeat), "losses": first}


def tower(job, model):
    """Forward and backward of one tower alone."""
    text = job["what"] == "text"
    mix = torch.randn(len(model["ids"] if text else model["pixels"]), model["embed"])

    def repeat():
        watch = Watch()
        features = (
            model["text"].encode(model["ids"], model["text prompts"]) if text else model["image"].encode(model["pixels"], model["image prompts"])
        )
        total = (features * mix).sum()
        watch.mark("forward")
        total.backward()
        watch.mark("backward")
        return watch.times

    return {"phases": timed(repeat)}


def frozen(job, model):
    def repeat():
        watch = Watch()
        with torch.no_grad():
            model["frozen image"].encode(model["pixels"], [])
        watch.mark("forward")
        return watch.times

    return {"phases": timed(repeat)}


@torch.no_grad()
def evaluation(job, model):
    """A test batch with its class features, as the official code runs it, and with class features made once before."""
    kept = []

    def classes():
        watch = Watch()
        kept[:] = [model["text"].encode(model["ids"], model["text prompts"])]
        watch.mark("class features")
        return watch.times

    def batch():
        watch = Watch()
        f = model["image"].encode(model["pixels"], model["image prompts"])
        (model["settings"]["logitScale"] * f @ kept[0].T).argmax(1)
        watch.mark("batch")
        return watch.times

    features, pictures = timed(classes, 3)[0], timed(batch, 3)[0]
    both = {key: features[key] + pictures[key] for key in ("seconds", "fastest", "slowest")}
    return {"phases": [features, pictures, {"phase": "batch with class features", **both, "repeats": pictures["repeats"]}]}


@torch.no_grad()
def matmul(job, model):
    a, b = torch.randn(2, job["size"], job["size"])

    def repeat():
        watch = Watch()
        (a @ b).sum().item()
        watch.mark("product")
        return watch.times

    phases = timed(repeat)
    return {"phases": phases, "flops": {"perSecond": 2 * job["size"] ** 3 / phases[0]["fastest"]}}


def load(folder, inputs, tuned):
    """Model and start; every prompt set learns, every weight is frozen."""
    with open(f"{folder}/config.json") as file:
        config = json.load(file)
    weights, _ = read_safetensors(f"{folder}/model.safetensors")
    start, metadata = read_safetensors(inputs)
    prompts = lambda tower: [start[f"{tower}.{i}"].requires_grad_() for i in range(sum(name.startswith(f"{tower}.") for name in start))]
    ids = start["ids"].long()
    image = ImageTower(weights, config["vision_config"])
    if tuned:
        ids = ids[:, : 1 + int(ids.argmax(1).max())]
        frozen_image = image
        Tower.block = torch.compile(Tower.block)
    else:
        own = {name: weight.clone() for name, weight in weights.items() if name.startswith(("vision", "visual"))}
        frozen_image = ImageTower(own, config["vision_config"])
    return {
        "embed": config.get("projection_dim", 512),
        "text": TextTower(weights, config["text_config"]),
        "image": image,
        "frozen image": frozen_image,
        "text prompts": prompts("text"),
        "image prompts": prompts("vision"),
        "ids": ids,
        "pixels": start["pixels"],
        "labels": start["labels"].long(),
        "frozen text": start["frozen_text"],
        "settings": json.loads(metadata["settings"]),
    }


def peak_bytes():
    """Largest resident memory so far: VmHWM where there is /proc, else getrusage (bytes on macOS)."""
    try:
        with open("/proc/self/status") as file:
            return 1024 * next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if platform.system() == "Darwin" else 1024 * peak


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("job", type=json.loads)
    parser.add_argument("threads", type=int)
    parser.add_argument("files", nargs="*")
    parser.add_argument("--tuned", action="store_true")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=["float32", "tf32", "autocast"], default="float32")
    return parser.parse_args()


def main():
    args = arguments()
    job, threads = args.job, args.threads
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    torch.set_default_device(args.device)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = args.precision == "tf32"
    kinds = {"step": step, "text": tower, "image": tower, "frozen": frozen, "evaluation": evaluation, "matmul": matmul}
    # Half precision where autocast chooses it: float16 on a GPU, as the official configs train (Dassl's PREC: "amp" or "fp16"), bfloat16
    # on a processor.
    half = torch.float16 if args.device == "cuda" else torch.bfloat16
    with torch.autocast(args.device, half, enabled=args.precision == "autocast"):
        outcome = kinds[job["what"]](job, load(*args.files, args.tuned) if args.files else None)
    versions = {"python": platform.python_version(), "torch": torch.__version__}
    gpu = {"gpuBytes": torch.cuda.max_memory_reserved()} if args.device == "cuda" else {}
    print(json.dumps({**outcome, "peakBytes": peak_bytes(), **gpu, "versions": versions, "threads": threads}))


main()
