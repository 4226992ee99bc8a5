"""Pretrains the mini-CLIP from scratch on the pictures that feed.mts streams, and writes it in the Hugging Face layout.

    python pretrain/train.py OUT_FOLDER [--steps 2400] [--batch 256] [--seed 1]

InfoNCE (Radford et al. 2021) over batches of distinct subjects, half of the patches left out for the first 70 % of the
steps (Li et al. 2023, FLIP). In the last 30 % all patches are seen, and in half of the steps random deep prompts, as
prompt learning inserts them before its first step, stand in both towers: a large CLIP bears them unasked, a small one
has to be used to them, or "novel accuracy falls" would be an effect of the initialisation and not of the training.
PyTorch rather than TypeScript: all weights are trained here, and it has fused attention and AdamW with all gradients.
"""

import argparse, json, math, os, random, subprocess, sys, time
from pathlib import Path

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from safetensors.torch import save_file
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

PICTURE, PATCH, CONTEXT, VOCAB = 48, 8, 32, 3072
WIDTH, HEADS, IMAGE_LAYERS, TEXT_LAYERS, EMBED = 128, 4, 6, 4, 128
MEAN = [0.48145466, 0.4578275, 0.40821073]
STD = [0.26862954, 0.26130258, 0.27577711]
SOS, EOT = "<|startoftext|>", "<|endoftext|>"
FEED = ["node", "--import", "tsx", "pretrain/feed.mts"]


def make_tokenizer(corpus):
    """CLIP's byte-pair encoding (same normaliser, word pattern, end-of-word mark and special tokens), 3,072 entries."""
    pattern = Regex(r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+")
    normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()])
    split = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(pattern, "removed", invert=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    learner = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    learner.normalizer, learner.pre_tokenizer = normalizer, split
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    learner.train_from_iterator(corpus, trainers.BpeTrainer(vocab_size=VOCAB, initial_alphabet=alphabet, end_of_word_suffix="</w>", show_progress=False))
    merges = [tuple(m.split(" ")) if isinstance(m, str) else tuple(m) for m in json.loads(learner.to_str())["model"]["merges"]]
    entries = alphabet + [a + "</w>" for a in alphabet]
    merges = merges[: VOCAB - 2 - len(entries)]
    entries += [a + b for a, b in merges] + [SOS, EOT]
    vocab = {}
    for e in entries:
        vocab.setdefault(e, len(vocab))
    tokenizer = Tokenizer(models.BPE(vocab, merges, unk_token=EOT, end_of_word_suffix="</w>"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, split
    tokenizer.add_special_tokens([AddedToken(SOS, normalized=False), AddedToken(EOT, normalized=False)])
    tokenizer.post_processor = processors.RobertaProcessing((EOT, vocab[EOT]), (SOS, vocab[SOS]), trim_offsets=False, add_prefix_space=False)
    assert vocab[EOT] == len(vocab) - 1, "CLIP picks the end of text as the largest id"
    return tokenizer, len(vocab)


class Block(nn.Module):
    """CLIP's residual block. QuickGELU(x) = silu(1.702 x) / 1.702: the factor is kept in the two linear maps (see `plain`)."""

    def __init__(self, layers):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.fc, self.proj = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)
        for layer, std in ((self.qkv, WIDTH**-0.5), (self.out, WIDTH**-0.5 * (2 * layers) ** -0.5), (self.fc, 1.702 * (2 * WIDTH) ** -0.5),
                           (self.proj, (2 * WIDTH) ** -0.5 * (2 * layers) ** -0.5 / 1.702)):
            nn.init.normal_(layer.weight, std=std)
            nn.init.zeros_(layer.bias)

    def forward(self, x, causal):
        B, T, D = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(B, T, 3, HEADS, D // HEADS).permute(2, 0, 3, 1, 4)
        a = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
        x = x + self.out(a.transpose(1, 2).reshape(B, T, D))
        return x + self.proj(F.silu(self.fc(self.norm2(x)), inplace=True))


class MiniClip(nn.Module):
    def __init__(self, vocab):
        super().__init__()
        tokens = (PICTURE // PATCH) ** 2
        self.patches = nn.Linear(3 * PATCH * PATCH, WIDTH, bias=False)
        self.cls = nn.Parameter(torch.randn(WIDTH) * WIDTH**-0.5)
        self.image_positions = nn.Parameter(torch.randn(tokens + 1, WIDTH) * WIDTH**-0.5)
        self.norm_pre, self.norm_post, self.norm_final = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.image_blocks = nn.ModuleList(Block(IMAGE_LAYERS) for _ in range(IMAGE_LAYERS))
        self.text_blocks = nn.ModuleList(Block(TEXT_LAYERS) for _ in range(TEXT_LAYERS))
        self.image_projection, self.text_projection = nn.Linear(WIDTH, EMBED, bias=False), nn.Linear(WIDTH, EMBED, bias=False)
        self.tokens = nn.Embedding(vocab, WIDTH)
        self.text_positions = nn.Parameter(torch.randn(CONTEXT, WIDTH) * 0.01)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        nn.init.normal_(self.tokens.weight, std=0.02)
        for projection in (self.image_projection, self.text_projection):
            nn.init.normal_(projection.weight, std=WIDTH**-0.5)

    def image(self, pixels, keep=None, prompts=None):
        """pixels [B, 48, 48, 3] normalised -> [B, E]. keep: patches seen per picture. prompts [J, P, D]: deep prompts of blocks 0..J-1."""
        B, n = len(pixels), PICTURE // PATCH
        x = pixels.view(B, n, PATCH, n, PATCH, 3).permute(0, 1, 3, 5, 2, 4).reshape(B, n * n, -1)
        x = self.patches(x) + self.image_positions[1:]
        if keep:
            chosen = torch.rand(B, n * n).argsort(1)[:, :keep, None].expand(-1, -1, WIDTH)
            x = x.gather(1, chosen)
        x = torch.cat([(self.cls + self.image_positions[0]).expand(B, 1, -1), x], 1)
        T = x.shape[1]
        if prompts is not None:
            x = torch.cat([x, prompts[0].expand(B, -1, -1)], 1)
        x = self.norm_pre(x)
        for i, block in enumerate(self.image_blocks):
            if prompts is not None and 0 < i < len(prompts):
                x = torch.cat([x[:, :T], prompts[i].expand(B, -1, -1)], 1)
            x = block(x, False)
        return self.image_projection(self.norm_post(x[:, 0]))

    def text(self, ids, prompts=None):
        """ids [B, T], zero-padded -> [B, E]. prompts [J, P, D]: in place of tokens 1..P, of blocks 0..J-1."""
        x, P = self.tokens(ids), 0 if prompts is None else prompts.shape[1]
        if P:
            x = torch.cat([x[:, :1], prompts[0].expand(len(x), -1, -1), x[:, 1 + P :]], 1)
        x = x + self.text_positions[: ids.shape[1]]
        for i, block in enumerate(self.text_blocks):
            if P and 0 < i < len(prompts):
                x = torch.cat([x[:, :1], prompts[i].expand(len(x), -1, -1), x[:, 1 + P :]], 1)
            x = block(x, True)
        return self.text_projection(self.norm_final(x[torch.arange(len(x)), ids.argmax(1)]))


def plain(model):
    """The weights under transformers' CLIPModel names and shapes, QuickGELU's factor taken out of the linear maps again."""
    out = {"logit_scale": model.logit_scale}
    for tower, blocks in (("vision_model", model.image_blocks), ("text_model", model.text_blocks)):
        for i, b in enumerate(blocks):
            to = f"{tower}.encoder.layers.{i}."
            for name, norm in (("layer_norm1", b.norm1), ("layer_norm2", b.norm2)):
                out[to + name + ".weight"], out[to + name + ".bias"] = norm.weight, norm.bias
            for j, name in enumerate("qkv"):
                out[to + f"self_attn.{name}_proj.weight"] = b.qkv.weight[j * WIDTH : (j + 1) * WIDTH]
                out[to + f"self_attn.{name}_proj.bias"] = b.qkv.bias[j * WIDTH : (j + 1) * WIDTH]
            out[to + "self_attn.out_proj.weight"], out[to + "self_attn.out_proj.bias"] = b.out.weight, b.out.bias
            out[to + "mlp.fc1.weight"], out[to + "mlp.fc1.bias"] = b.fc.weight / 1.702, b.fc.bias / 1.702
            out[to + "mlp.fc2.weight"], out[to + "mlp.fc2.bias"] = b.proj.weight * 1.702, b.proj.bias
    v, t = "vision_model.", "text_model."
    out[v + "embeddings.class_embedding"] = model.cls
    out[v + "embeddings.patch_embedding.weight"] = model.patches.weight.view(WIDTH, 3, PATCH, PATCH)
    out[v + "embeddings.position_embedding.weight"] = model.image_positions
    out[t + "embeddings.token_embedding.weight"], out[t + "embeddings.position_embedding.weight"] = model.tokens.weight, model.text_positions
    for name, norm in ((v + "pre_layrnorm", model.norm_pre), (v + "post_layernorm", model.norm_post), (t + "final_layer_norm", model.norm_final)):
        out[name + ".weight"], out[name + ".bias"] = norm.weight, norm.bias
    out["visual_projection.weight"], out["text_projection.weight"] = model.image_projection.weight, model.text_projection.weight
    return {k: v.detach().to(torch.float16).contiguous().clone() for k, v in out.items()}


def save(folder, model, tokenizer, vocab, note):
    folder.mkdir(parents=True, exist_ok=True)
    tower = dict(hidden_size=WIDTH, intermediate_size=4 * WIDTH, projection_dim=EMBED, num_attention_heads=HEADS, hidden_act="quick_gelu", layer_norm_eps=1e-5)
    config = dict(
        architectures=["CLIPModel"], model_type="clip", projection_dim=EMBED, logit_scale_init_value=2.6592, torch_dtype="float16",
        text_config=dict(tower, model_type="clip_text_model", vocab_size=vocab, num_hidden_layers=TEXT_LAYERS, max_position_embeddings=CONTEXT,
                         bos_token_id=vocab - 2, eos_token_id=vocab - 1, pad_token_id=0),
        vision_config=dict(tower, model_type="clip_vision_model", num_hidden_layers=IMAGE_LAYERS, num_channels=3, image_size=PICTURE, patch_size=PATCH),
    )
    preprocessor = dict(
        do_resize=True, size=dict(shortest_edge=PICTURE), resample=3, do_center_crop=True, crop_size=dict(height=PICTURE, width=PICTURE),
        do_rescale=True, rescale_factor=1 / 255, do_normalize=True, image_mean=MEAN, image_std=STD, do_convert_rgb=True,
    )
    for name, record in (("config", config), ("preprocessor_config", preprocessor)):
        (folder / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    save_file(plain(model), str(folder / "model.safetensors"), metadata={"format": "pt", **note})


def batches(steps, batch, seed):
    """(captions, pictures [B, 48, 48, 3] uint8) from the stream of feed.mts."""
    feed = subprocess.Popen(FEED + ["batches", str(steps), str(batch), str(seed)], stdout=subprocess.PIPE, bufsize=1 << 24)
    size = PICTURE * PICTURE * 3
    for _ in range(steps):
        line = feed.stdout.readline()
        if not line:
            sys.exit("pretrain/feed.mts stopped early; its message is above")
        pictures = np.frombuffer(feed.stdout.read(batch * size), np.uint8).reshape(batch, PICTURE, PICTURE, 3)
        record = json.loads(line)
        yield record["captions"], record["names"], torch.from_numpy(pictures.copy())


def encode_texts(model, rows, prompts):
    """Token lists -> [B, E]; the shorter and the longer half are padded apart."""
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    halves = []
    for part in (order[: len(order) // 2], order[len(order) // 2 :]):
        longest = max(len(rows[i]) for i in part)
        halves.append(model.text(torch.tensor([rows[i] + [0] * (longest - len(rows[i])) for i in part]), prompts))
    return torch.cat(halves)[torch.tensor(order).argsort()]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=2400)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    lot = random.Random(args.seed)

    corpus = subprocess.run(FEED + ["corpus"], check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    tokenizer, vocab = make_tokenizer(corpus)
    model = MiniClip(vocab)
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, vocabulary {vocab}, {len(corpus):,} captions", flush=True)
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim <= 1]
    optimiser = torch.optim.AdamW([dict(params=matrices, weight_decay=0.1), dict(params=vectors, weight_decay=0.0)], betas=(0.9, 0.98), fused=True)
    mean, std = torch.tensor(MEAN) * 255, torch.tensor(STD) * 255
    context = torch.tensor(tokenizer.encode("a photo of a").ids[1:-1])
    target = torch.arange(args.batch)

    started, average = time.time(), None
    for step, (captions, names, pictures) in enumerate(batches(args.steps, args.batch, args.seed)):
        progress = step / args.steps
        late = progress >= 0.7
        for group in optimiser.param_groups:
            group["lr"] = 1.5e-3 * min(1, (step + 1) / 150) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress)))
        text_prompts = image_prompts = None
        if late and lot.random() < 0.5:
            captions = [f"a photo of a {name}." for name in names]
            depth = lot.randint(1, TEXT_LAYERS)
            text_prompts = torch.cat([model.tokens(context)[None], torch.randn(depth - 1, 4, WIDTH) * 0.02])
        if late and lot.random() < 0.5:
            image_prompts = torch.randn(lot.randint(1, IMAGE_LAYERS), lot.choice([2, 4, 4, 4]), WIDTH) * 0.02
        rows = [e.ids[: CONTEXT - 1] + [vocab - 1] if len(e.ids) > CONTEXT else e.ids for e in tokenizer.encode_batch(captions)]

        f = F.normalize(model.image((pictures - mean) / std, None if late else (PICTURE // PATCH) ** 2 // 2, image_prompts), dim=-1)
        g = F.normalize(encode_texts(model, rows, text_prompts), dim=-1)
        logits = model.logit_scale.exp() * f @ g.T
        loss = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, math.log(100))
        average = loss.item() if average is None else 0.98 * average + 0.02 * loss.item()
        if (step + 1) % 50 == 0 or step + 1 == args.steps:
            spent = time.time() - started
            accuracy = 100 * (logits.argmax(1) == target).float().mean().item()
            left = spent / (step + 1) * (args.steps - step - 1)
            print(f"step {step + 1}/{args.steps}  loss {average:.3f}  in-batch {accuracy:.0f} %  scale {model.logit_scale.exp().item():.1f}  "
                  f"{spent / (step + 1):.2f} s/step  {left / 60:.0f} min left", flush=True)
        if (step + 1) % 600 == 0 or step + 1 == args.steps:
            save(args.out, model, tokenizer, vocab, dict(steps=str(step + 1), seed=str(args.seed), batch=str(args.batch)))


if __name__ == "__main__":
    main()
