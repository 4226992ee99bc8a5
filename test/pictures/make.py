"""Makes the pictures and expected.json here: what Pillow's .convert("RGB") and resize give. Run: pip install pillow==13.0.0 numpy; python make.py"""
import hashlib, json, os, struct, zlib
import numpy as np
import PIL
from PIL import Image

here = os.path.dirname(os.path.abspath(__file__))
rng = np.random.default_rng(0)
W, H = 24, 16


def sha(array):
    return hashlib.sha256(np.ascontiguousarray(array, dtype=np.uint8).tobytes()).hexdigest()[:16]


def save(name, image, **options):
    image.save(os.path.join(here, name), **options)


def png(name, depth, colour, raw, extra=b""):
    """PNG kinds that Pillow does not write."""
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    header = struct.pack(">IIBBBBB", W, H, depth, colour, 0, 0, 0)
    rows = b"".join(b"\0" + row.tobytes() for row in raw)
    with open(os.path.join(here, name), "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


y, x = np.mgrid[0:H, 0:W]
smooth = np.stack([x * 10, y * 15, (x * y) % 256], -1)
rgb = np.clip(smooth + rng.integers(-20, 20, (H, W, 3)), 0, 255).astype(np.uint8)
image = Image.fromarray(rgb)
alpha = Image.fromarray(rng.integers(0, 256, (H, W), dtype=np.uint8))
with_alpha = image.copy()
with_alpha.putalpha(alpha)
grey = image.convert("L")
grey_alpha = grey.copy()
grey_alpha.putalpha(alpha)
palette = image.quantize(16)
rotated = Image.Exif()
rotated[274] = 6

save("rgb.png", image)
save("rgba.png", with_alpha)
save("rgba.webp", with_alpha, lossless=True, exact=True)
save("lossy.webp", image)
save("grey.png", grey)
save("grey-alpha.png", grey_alpha)
save("palette.png", palette)
save("palette-transparent.png", palette, transparency=3)
save("palette.gif", palette)
save("animated.gif", image, save_all=True, append_images=[image.rotate(180)])
save("one-bit.png", image.convert("1"))
save("rotated-by-exif.jpg", image, exif=rotated)
save("half-chroma.jpg", image, quality=80, subsampling=2)
save("full-chroma.jpg", image, quality=80, subsampling=0)
save("progressive.jpg", image, progressive=True)
save("grey.jpg", grey)
save("cmyk.jpg", image.convert("CMYK"), quality=95)
save("cmyk.tif", image.convert("CMYK"))
png("rgb-16-bit.png", 16, 2, rng.integers(0, 65536, (H, W, 3)).astype(">u2"))
png("grey-2-bit.png", 2, 0, rng.integers(0, 256, (H, W // 4)).astype(np.uint8))
png("gamma.png", 8, 2, rgb, struct.pack(">I", 4) + b"gAMA" + struct.pack(">I", 100000) + struct.pack(">I", zlib.crc32(b"gAMA" + struct.pack(">I", 100000))))
jpeg = open(os.path.join(here, "full-chroma.jpg"), "rb").read()
scan = jpeg.index(b"\xff\xda")
open(os.path.join(here, "stray-bytes.jpg"), "wb").write(jpeg[:scan] + b"\x00\x11\x22" + jpeg[scan:])
open(os.path.join(here, "cut-short.jpg"), "wb").write(jpeg[: len(jpeg) * 2 // 3])

# With a generator of their own, so that the pictures above stay as they are.
own = np.random.default_rng(1)
png("grey-16-bit.png", 16, 0, np.where(own.random((H, W)) < 0.5, own.integers(0, 400, (H, W)), own.integers(0, 65536, (H, W))).astype(">u2"))
save("24-bit.bmp", image)
save("palette.bmp", palette)
save("grey.bmp", grey)
save("one-bit.bmp", image.convert("1"))
save("32-bit.bmp", with_alpha)

decoded = {}
for name in sorted(os.listdir(here)):
    if name.rsplit(".")[-1] not in ("png", "jpg", "gif", "webp", "tif", "bmp"):
        continue
    try:
        pixels = np.asarray(Image.open(os.path.join(here, name)).convert("RGB"))
        decoded[name] = {"width": pixels.shape[1], "height": pixels.shape[0], "sha256": sha(pixels)}
    except OSError as error:
        decoded[name] = {"error": str(error)}

# Pixels anyone can make again: byte i of a picture is (i * i * 31 + i * 7 + (i >> 5)) mod 256; every third picture has only 0 and 255.
filters = {"lanczos": 1, "bilinear": 2, "bicubic": 3, "box": 4, "hamming": 5}
resized = []
for k in range(150):
    w, h, to_w, to_h = [int(v) for v in rng.integers(1, 100, 4)]
    if k % 5 == 0:
        to_w = to_h = 48
    if k % 25 == 0:
        w, h = int(rng.integers(300, 600)), int(rng.integers(300, 600))
    i = np.arange(w * h * 3, dtype=np.int64)
    pixels = ((i * i * 31 + i * 7 + (i >> 5)) % 256).astype(np.uint8).reshape(h, w, 3)
    if k % 3 == 0:
        pixels = (pixels > 127).astype(np.uint8) * 255
    name = list(filters)[k % 5] if k % 2 else "bicubic"
    out = np.asarray(Image.fromarray(pixels).resize((to_w, to_h), filters[name]))
    resized.append([w, h, to_w, to_h, name, sha(out)])

with open(os.path.join(here, "expected.json"), "w") as file:
    lines = ",\n".join("    " + json.dumps(row) for row in resized)
    file.write('{\n  "pillow": "%s",\n  "decoded": %s,\n  "resized": [\n%s\n  ]\n}\n' % (PIL.__version__, json.dumps(decoded, indent=2).replace("\n", "\n  "), lines))
