"""
Writes small CLIPs in the layouts of OpenAI, open_clip and Hugging Face, and their features, for test/clip/layouts.test.ts.
Run once with Python 3.11, torch 2.9.1, open_clip_torch 3.3.0, transformers 5.24.0, safetensors: python make.py <folder>
"""
import json, os, shutil, sys
import torch, open_clip
from safetensors.torch import save_file
from transformers import CLIPConfig, CLIPModel

out = sys.argv[1]

torch.manual_seed(0)
W, L, E, V, C, S, P = 64, 2, 32, 369, 32, 24, 8
vision = dict(image_size=S, layers=L, width=W, patch_size=P, head_width=64)
text = dict(context_length=C, vocab_size=V, width=W, heads=1, layers=L)
pixels = torch.randn(2, 3, S, S)
ids = torch.zeros(2, C, dtype=torch.long)
ids[0, :4] = torch.tensor([V - 2, 12, 40, V - 1])
ids[1, :6] = torch.tensor([V - 2, 7, 300, 55, 9, V - 1])
expected = {"pixels": pixels}

def features(model, activation):
    with torch.no_grad():
        expected[f"image.{activation}"] = model.encode_image(pixels).float().contiguous()
        expected[f"text.{activation}"] = model.encode_text(ids).float().contiguous()

for activation in ["quick_gelu", "gelu"]:
    model = open_clip.model.CLIP(E, vision, text, quick_gelu=activation == "quick_gelu").eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            if name != "logit_scale": p.copy_(p + 0.05 * torch.randn_like(p))
    model = model.half().float() # the numbers that float16 holds
    features(model, activation)
    folder = f"{out}/open_clip-{activation}"
    os.makedirs(folder, exist_ok=True)
    state = {k: v.half().contiguous() for k, v in model.state_dict().items() if k != "attn_mask"}
    save_file(state, f"{folder}/open_clip_model.safetensors")
    config = {"model_cfg": {"embed_dim": E, "vision_cfg": vision, "text_cfg": text, **({"quick_gelu": True} if activation == "quick_gelu" else {})},
              "preprocess_cfg": {"mean": [0.48145466, 0.4578275, 0.40821073], "std": [0.26862954, 0.26130258, 0.27577711], "interpolation": "bicubic", "resize_mode": "shortest"}}
    json.dump(config, open(f"{folder}/open_clip_config.json", "w"), indent=1)
    if activation != "quick_gelu": continue
    # OpenAI's layouts: a scripted module in half precision, and a state dict
    scripted = open_clip.model.CLIP(E, vision, text, quick_gelu=True).eval()
    scripted.load_state_dict(model.state_dict())
    traced = torch.jit.trace_module(scripted, {"forward": (pixels, ids)}, check_trace=False)
    for p in traced.parameters(): p.data = p.data.half()
    os.makedirs(f"{out}/openai", exist_ok=True)
    torch.jit.save(traced, f"{out}/openai/ViT-tiny.pt")
    torch.save(state, f"{out}/openai/state_dict.pt")
    # Hugging Face, by transformers' own conversion of names
    config = CLIPConfig(projection_dim=E,
        text_config=dict(vocab_size=V, hidden_size=W, intermediate_size=4 * W, num_hidden_layers=L, num_attention_heads=1, max_position_embeddings=C, projection_dim=E, eos_token_id=V - 1, bos_token_id=V - 2),
        vision_config=dict(hidden_size=W, intermediate_size=4 * W, num_hidden_layers=L, num_attention_heads=1, image_size=S, patch_size=P, projection_dim=E))
    hf = CLIPModel(config).eval()
    s, new = model.state_dict(), {}
    def block(src, dst):
        for i, part in enumerate("qkv"):
            for kind in ["weight", "bias"]:
                new[f"{dst}.self_attn.{part}_proj.{kind}"] = s[f"{src}.attn.in_proj_{kind}"][i * W:(i + 1) * W]
        for a, b in [("ln_1", "layer_norm1"), ("ln_2", "layer_norm2"), ("attn.out_proj", "self_attn.out_proj"), ("mlp.c_fc", "mlp.fc1"), ("mlp.c_proj", "mlp.fc2")]:
            for kind in ["weight", "bias"]: new[f"{dst}.{b}.{kind}"] = s[f"{src}.{a}.{kind}"]
    for i in range(L):
        block(f"transformer.resblocks.{i}", f"text_model.encoder.layers.{i}")
        block(f"visual.transformer.resblocks.{i}", f"vision_model.encoder.layers.{i}")
    new["text_model.embeddings.token_embedding.weight"] = s["token_embedding.weight"]
    new["text_model.embeddings.position_embedding.weight"] = s["positional_embedding"]
    new["vision_model.embeddings.class_embedding"] = s["visual.class_embedding"]
    new["vision_model.embeddings.patch_embedding.weight"] = s["visual.conv1.weight"]
    new["vision_model.embeddings.position_embedding.weight"] = s["visual.positional_embedding"]
    for a, b in [("ln_final", "text_model.final_layer_norm"), ("visual.ln_pre", "vision_model.pre_layrnorm"), ("visual.ln_post", "vision_model.post_layernorm")]:
        for kind in ["weight", "bias"]: new[f"{b}.{kind}"] = s[f"{a}.{kind}"]
    new["text_projection.weight"], new["visual_projection.weight"] = s["text_projection"].T, s["visual.proj"].T
    new["logit_scale"] = s["logit_scale"]
    missing, surplus = hf.load_state_dict(new, strict=False)
    assert not surplus and all("position_ids" in m for m in missing), (missing, surplus)
    with torch.no_grad():
        image = hf.visual_projection(hf.vision_model(pixels).pooler_output)
        t = hf.text_projection(hf.text_model(ids).pooler_output)
    print("transformers", (image - expected["image.quick_gelu"]).abs().max(), (t - expected["text.quick_gelu"]).abs().max())
    os.makedirs(f"{out}/huggingface-bin", exist_ok=True)
    torch.save({k: v.half() for k, v in new.items()}, f"{out}/huggingface-bin/pytorch_model.bin")
    hf.config.save_pretrained(f"{out}/huggingface-bin")
save_file(expected, f"{out}/expected.safetensors")
json.dump([row[: row.argmax() + 1].tolist() for row in ids], open(f"{out}/ids.json", "w"))
