"""AIPP: what an OM does to the pixels of an image before the model's first node.

An OM with AIPP takes bytes of an image where the ONNX model takes the prepared tensor. Where AIPP
only subtracts and scales, as it mostly does, the pixels can be had from the tensor and the other
way round, so that both sides see the same image:

    prepared = (pixel - mean - min) * var_reci        per channel, after a swap of red and blue

Source: the AIPP chapter of the ATC guide, CANN 6.0 to 8.5.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from graphfix.comparison.runtimes.pyacl import Acl, Undo
from graphfix.errors import UsageError, nearest
from graphfix.graph import Shape

# aclAippInputFormat by the names that ATC's --insert_op_conf uses
FORMATS = {
    "YUV420SP_U8": 1, "XRGB8888_U8": 2, "RGB888_U8": 3, "YUV400_U8": 4, "ARGB8888_U8": 7,
    "YUYV_U8": 8, "YUV422SP_U8": 9, "AYUV444_U8": 10,
}  # fmt: skip
_NAMES = {number: name for name, number in FORMATS.items()}
_CHANNELS = {"RGB888_U8": 3, "YUV400_U8": 1}
_ENTRY = re.compile(r"(\w+)\s*:\s*\"?([^\s\"#]+)")
_MATRIX = tuple(f"matrix_r{r}c{c}" for r in range(3) for c in range(3))
_BIASES = tuple(f"{side}_bias_{i}" for side in ("output", "input") for i in range(3))
_STEPS = {"csc_switch": "colour conversion", "crop": "crop", "resize": "resize",
          "padding": "padding"}  # fmt: skip


@dataclass(frozen=True)
class Aipp:
    """AIPP of one input. `settings` are numbers by the names of ATC's configuration.

    `source` says where they are from.
    """

    format: str
    settings: Mapping[str, float] = field(default_factory=dict)
    source: str = "the OM"

    # ------------------------------------------------------------------ pixels and tensors

    def encode(self, array: np.ndarray) -> np.ndarray:
        """Return the pixels (NHWC, uint8) of a prepared tensor; rounds and clips to 0..255.

        Raises UsageError where AIPP does more than subtract and scale.
        """
        self._check()
        channels = _CHANNELS[self.format]
        last = array if _is_nhwc(array, channels) else np.moveaxis(array, 1, -1)
        scale, offset = self._scale(channels)
        pixels = last.astype(np.float64) / scale + offset
        pixels = np.rint(np.nan_to_num(pixels)).clip(0, 255).astype(np.uint8)
        return np.ascontiguousarray(pixels[..., ::-1] if self._swaps(channels) else pixels)

    def decode(self, pixels: np.ndarray, like: np.ndarray) -> np.ndarray:
        """Return the tensor that AIPP prepares of pixels, in the layout and dtype of `like`."""
        self._check()
        channels = _CHANNELS[self.format]
        straight = pixels[..., ::-1] if self._swaps(channels) else pixels
        scale, offset = self._scale(channels)
        prepared = (straight.astype(np.float64) - offset) * scale
        if not _is_nhwc(like, channels):
            prepared = np.moveaxis(prepared, -1, 1)
        return np.ascontiguousarray(prepared.astype(like.dtype))

    def decoded_shape(self, shape: Sequence[int | None], own: Shape) -> Shape:
        """Return the shape of the prepared tensor for pixels of a shape; `own` tells the layout."""
        if self.format not in _CHANNELS or len(shape) != 4 or len(own) != 4:
            return own
        count, height, width, channels = shape
        if own[3] == channels and own[1] != channels:
            return (count, height, width, channels)
        return (count, channels, height, width)

    def _check(self) -> None:
        steps = [text for key, text in _STEPS.items() if self.settings.get(key)]
        if self.format not in _CHANNELS:
            steps.insert(0, f"input format {self.format}")
        if steps:
            raise UsageError(
                f"The OM's AIPP ({self.source}) has {', '.join(steps)}: the pixels cannot be had "
                "from the ONNX model's input. Give both: --input NAME=FILE for the ONNX model, and "
                "--input-b NAME=PIXELS.bin for the OM."
            )

    def _swaps(self, channels: int) -> bool:
        return channels == 3 and bool(self.settings.get("rbuv_swap_switch"))

    def _scale(self, channels: int) -> tuple[np.ndarray, np.ndarray]:
        """Return factor and offset of each channel; a factor of 0 stands for one not set."""
        get = self.settings.get
        scale = [get(f"var_reci_chn_{c}") or 1.0 for c in range(channels)]
        offset = [get(f"mean_chn_{c}", 0.0) + get(f"min_chn_{c}", 0.0) for c in range(channels)]
        return np.array(scale), np.array(offset)

    def shape(self) -> Shape:
        """Return the shape of the pixels of an input with dynamic AIPP: any number of images."""
        width, height = (int(self.settings.get(f"src_image_size_{s}", 0)) for s in "wh")
        whole = {"YUV420SP_U8": (height * 3 // 2, width, 1), "YUV422SP_U8": (height * 2, width, 1),
                 "YUYV_U8": (height, width, 2), "RGB888_U8": (height, width, 3),
                 "YUV400_U8": (height, width, 1)}  # fmt: skip
        return (None, *whole.get(self.format, (height, width, 4)))

    # ------------------------------------------------------------------ dynamic AIPP

    def set(self, acl: Acl, undo: Undo, model: int, dataset: int, index: int, batch: int) -> None:
        """Hand the settings to the OM for the next run; `index` is the input that carries them."""
        get = self.settings.get
        aipp = acl.make("mdl.create_aipp", batch)
        undo.push("mdl.destroy_aipp", aipp)

        def numbers(keys: Sequence[str]) -> list[int]:
            return [int(get(key, 0)) for key in keys]

        acl.do("mdl.set_aipp_input_format", aipp, FORMATS[self.format])
        acl.do("mdl.set_aipp_src_image_size", aipp, *numbers(("src_image_size_w",
                                                              "src_image_size_h")))  # fmt: skip
        if get("csc_switch"):
            acl.do("mdl.set_aipp_csc_params", aipp, 1, *numbers(_MATRIX), *numbers(_BIASES))
        acl.do("mdl.set_aipp_rbuv_swap_switch", aipp, *numbers(("rbuv_swap_switch",)))
        acl.do("mdl.set_aipp_ax_swap_switch", aipp, *numbers(("ax_swap_switch",)))
        crop = ("crop", "load_start_pos_w", "load_start_pos_h", "crop_size_w", "crop_size_h")
        pad = ("padding", *(f"{s}_padding_size" for s in ("top", "bottom", "left", "right")))
        for image in range(batch):
            if get("crop"):
                acl.do("mdl.set_aipp_crop_params", aipp, *numbers(crop), image)
            if get("padding"):
                acl.do("mdl.set_aipp_padding_params", aipp, *numbers(pad), image)
            means = numbers([f"mean_chn_{c}" for c in range(4)])
            least = [float(get(f"min_chn_{c}", 0.0)) for c in range(4)]
            factors = [float(get(f"var_reci_chn_{c}") or 1.0) for c in range(4)]
            acl.do("mdl.set_aipp_dtc_pixel_mean", aipp, *means, image)
            acl.do("mdl.set_aipp_dtc_pixel_min", aipp, *least, image)
            acl.do("mdl.set_aipp_pixel_var_reci", aipp, *factors, image)
        acl.do("mdl.set_input_aipp", model, dataset, index, aipp)


def _is_nhwc(array: np.ndarray, channels: int) -> bool:
    return array.ndim == 4 and array.shape[3] == channels and array.shape[1] != channels


def read_static(info: Mapping[str, Any]) -> Aipp:
    """Return the AIPP that acl.mdl.get_first_aipp_info tells of an input."""
    number = info.get("inputFormat", 0)
    settings: dict[str, float] = {
        "csc_switch": info.get("cscSwitch", 0),
        "crop": info.get("cropSwitch", 0),
        "resize": info.get("resizeSwitch", 0),
        "padding": info.get("paddingSwitch", 0),
        "rbuv_swap_switch": info.get("rbuvSwapSwitch", 0),
    }
    for theirs, ours in (("meanChn", "mean_chn_"), ("minChn", "min_chn_"),
                         ("varReciChn", "var_reci_chn_")):  # fmt: skip
        settings.update({f"{ours}{c}": info.get(f"{theirs}{c}", 0) for c in range(4)})
    return Aipp(_NAMES.get(number, f"number {number}"), settings)


def read_config(path: Path) -> Aipp:
    """Read an ATC --insert_op_conf file, as --aipp takes it. Raises UsageError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--aipp {path}: cannot be read ({error}).") from None
    if len(re.findall(r"aipp_op\s*\{", text)) > 1:
        raise UsageError(f"--aipp {path}: has several aipp_op; one input with AIPP is supported.")
    lines = [re.split(r"#|//", line)[0] for line in text.splitlines()]
    entries = dict(_ENTRY.findall("\n".join(lines)))
    name = entries.pop("input_format", "").strip("\"'")
    name = _NAMES.get(int(name), name) if name.isdigit() else name
    if name not in FORMATS:
        said = f"input_format {name} is not known" if name else "input_format is missing"
        raise UsageError(f"--aipp {path}: {said}. {nearest(name, FORMATS)}")
    settings: dict[str, float] = {}
    for key, value in entries.items():
        if value in ("true", "false"):
            settings[key] = float(value == "true")
        else:
            try:
                settings[key] = float(value)
            except ValueError:
                continue  # aipp_mode, input_name ...: no number
    for key in ("src_image_size_w", "src_image_size_h"):
        if settings.get(key, 0) < 1:
            raise UsageError(f"--aipp {path}: {key} is missing; a dynamic AIPP needs it.")
    return Aipp(name, settings, source=path.name)
