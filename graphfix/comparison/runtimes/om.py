"""An .om on a local NPU by pyACL: static, by gears (batch, image size, dims), or of any shape.

The order of calls is that of the pyACL guide: init, device, context, load, describe; for each run
datasets, buffers, sizes, execute, copy back; and all given back in the reverse order, also after an
error. The context is set again before each run, since each OM has its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx.helper

from graphfix.comparison.runtimes import Arrays, Closing, Port, RuntimeFailed
from graphfix.comparison.runtimes.aipp import Aipp, read_static
from graphfix.comparison.runtimes.pyacl import REPEAT_INITIALIZE, Acl, AclError, Undo
from graphfix.errors import UsageError
from graphfix.graph import Shape, dtypes

# aclDataType -> the name of the ONNX element type
_DTYPES = {
    0: "float32", 1: "float16", 2: "int8", 3: "int32", 4: "uint8", 6: "int16", 7: "uint16",
    8: "uint32", 9: "int64", 10: "uint64", 11: "double", 12: "bool", 16: "complex64",
    17: "complex128", 27: "bfloat16",
}  # fmt: skip
# the names of inputs that ATC adds: they carry the size of a run, or the parameters of AIPP
_GEAR_INPUT = "ascend_mbatch_shape_data"
_AIPP_INPUT = "ascend_dynamic_aipp_data"
_HUGE_PAGES_FIRST = 0  # ACL_MEM_MALLOC_HUGE_FIRST
_HOST_TO_DEVICE, _DEVICE_TO_HOST, _DEVICE_TO_DEVICE = 1, 2, 3
_ON_DEVICE = 0  # ACL_DEVICE: this process itself runs on the device
_STATIC_AIPP, _DYNAMIC_AIPP = 1, 2
_RESERVED = -1  # what index arguments that are not used yet must be


@dataclass(frozen=True)
class _Slot:
    """An input or output of the OM as its description has it; -1 in dims is open.

    `aipp` is the aclmdlInputAippType of an input, 0 without.
    """

    index: int
    name: str
    dtype: str | None
    dims: tuple[int, ...]
    size: int
    aipp: int = 0

    @property
    def shape(self) -> Shape:
        return tuple(None if d < 0 else d for d in self.dims)

    @property
    def is_open(self) -> bool:
        return any(d < 0 for d in self.dims)


@dataclass
class _Place:
    """Device memory and the data buffer that stands for it."""

    address: int
    size: int
    buffer: int


@dataclass(frozen=True)
class _Gear:
    """One of the sizes that the OM was built for: the call that sets it, and all inputs' dims."""

    call: str
    values: tuple[Any, ...]
    dims: tuple[tuple[int, ...], ...]


class OmRuntime(Closing):
    """An OM on device `device`.

    `aipp` are the parameters for an input with dynamic AIPP. `not_released` tells what could not be
    given back. Raises UsageError when there is no file, RuntimeFailed when pyACL is not installed
    or does not load it.
    """

    on_npu = True

    def __init__(self, path: Path, *, device: int = 0, aipp: Aipp | None = None) -> None:
        if not path.is_file():
            raise UsageError(f"{path}: there is no such file.")
        self.path = path
        self.name = f"{path.name} (OM on device {device})"
        self.not_released: list[str] = []
        self._device = device
        self._aipp = aipp
        self._acl = Acl()
        self._undo = Undo(self._acl)
        self._context = 0
        try:
            self._open()
            self._describe()
        except BaseException as error:
            self.close()
            if isinstance(error, AclError):
                raise RuntimeFailed(f"{self.name} does not load: {error}") from error
            raise

    # ------------------------------------------------------------------ life

    def _open(self) -> None:
        acl, undo = self._acl, self._undo
        code = acl.ask("init")
        if code != REPEAT_INITIALIZE:  # whoever was first finalises
            acl.check("init", code)
            undo.push("finalize")
        acl.do("rt.set_device", self._device)
        undo.push("rt.reset_device", self._device)
        context = acl.get("rt.create_context", self._device)
        undo.push("rt.destroy_context", context)
        self._context = context
        on_device = acl.get("rt.get_run_mode") == _ON_DEVICE
        self._to_device = _DEVICE_TO_DEVICE if on_device else _HOST_TO_DEVICE
        self._to_host = _DEVICE_TO_DEVICE if on_device else _DEVICE_TO_HOST
        self._model: int = acl.get("mdl.load_from_file", str(self.path))
        undo.push("mdl.unload", self._model)
        self._desc = acl.make("mdl.create_desc")
        undo.push("mdl.destroy_desc", self._desc)
        acl.do("mdl.get_desc", self._desc, self._model)

    def close(self) -> None:
        """Unload the model, give back context and device; may be called twice."""
        if self._context:
            try:
                self._acl.do("rt.set_context", self._context)
            except AclError as error:
                self.not_released.append(str(error))
            self._context = 0
        self.not_released += self._undo.release()

    # ------------------------------------------------------------------ what the OM takes and gives

    def _describe(self) -> None:
        acl, desc = self._acl, self._desc
        slots = [self._slot("input", i) for i in range(acl.ask("mdl.get_num_inputs", desc))]
        self._gear_slot = next((s for s in slots if s.name == _GEAR_INPUT), None)
        self._aipp_slots = [s for s in slots if s.name.startswith(_AIPP_INPUT)]
        added = {s.index for s in (self._gear_slot, *self._aipp_slots) if s is not None}
        self._slots = slots
        self._data = [s for s in slots if s.index not in added]
        self._results = [
            self._slot("output", i) for i in range(acl.ask("mdl.get_num_outputs", desc))
        ]
        self._gears = self._read_gears() if self._gear_slot is not None else []
        self.inputs = [self._port(position, slot) for position, slot in enumerate(self._data)]
        self.outputs = [s.name for s in self._results]

    def _slot(self, side: str, index: int) -> _Slot:
        acl, desc = self._acl, self._desc
        dims, aipp = acl.get(f"mdl.get_{side}_dims", desc, index)["dims"], 0
        if side == "input" and acl.has("mdl.get_aipp_type"):
            aipp = acl.get("mdl.get_aipp_type", self._model, index)[0]
        if aipp == _STATIC_AIPP:
            dims = acl.get("mdl.get_input_dims_v2", desc, index)["dims"]  # those of the raw image
        return _Slot(
            index,
            acl.ask(f"mdl.get_{side}_name_by_index", desc, index) or f"{side}_{index}",
            _DTYPES.get(acl.ask(f"mdl.get_{side}_data_type", desc, index)),
            tuple(dims),
            acl.ask(f"mdl.get_{side}_size_by_index", desc, index),
            aipp,
        )

    def _port(self, position: int, slot: _Slot) -> Port:
        choices = tuple(gear.dims[position] for gear in self._gears)
        if slot.aipp == _STATIC_AIPP:
            info = self._acl.get("mdl.get_first_aipp_info", self._model, slot.index)
            encoding = read_static(info)
            return Port(slot.name, slot.dtype, slot.shape, choices=choices, encoding=encoding)
        if slot.aipp != _DYNAMIC_AIPP:
            return Port(slot.name, slot.dtype, slot.shape, choices=choices)
        if self._gears:
            raise UsageError(
                f"{self.name}: dynamic AIPP together with several sizes is not supported. Convert "
                "with one size, or save the outputs by another tool and compare those."
            )
        if self._aipp is None:
            raise UsageError(
                f"{self.name}: input {slot.name} has dynamic AIPP, whose parameters are given for "
                "each run. Give --aipp FILE, in the form of an ATC --insert_op_conf file."
            )
        return Port(slot.name, "uint8", self._aipp.shape(), encoding=self._aipp)

    def _read_gears(self) -> list[_Gear]:
        acl, desc = self._acl, self._desc
        sizes = acl.get("mdl.get_dynamic_batch", desc).get("batch", [])
        if sizes:
            return [self._gear("mdl.set_dynamic_batch_size", (size,)) for size in sizes]
        images = acl.get("mdl.get_dynamic_hw", desc, _RESERVED).get("hw", [])
        if images:
            return [self._gear("mdl.set_dynamic_hw_size", tuple(hw)) for hw in images]
        count = acl.get("mdl.get_input_dynamic_gear_count", desc, _RESERVED)
        result = []
        for entry in acl.get("mdl.get_input_dynamic_dims", desc, _RESERVED, count) if count else []:
            flat = list(entry["dims"])
            dims, start = [], 0
            for slot in self._data:
                dims.append(tuple(flat[start : start + len(slot.dims)]))
                start += len(slot.dims)
            value = {"name": "", "dimCount": len(flat), "dims": flat}
            result.append(_Gear("mdl.set_input_dynamic_dims", (value,), tuple(dims)))
        return result

    def _gear(self, call: str, values: tuple[int, ...]) -> _Gear:
        """Return the gear that sets the open dims of each input to the values, in turn."""
        dims = []
        for slot in self._data:
            rest = iter(values * len(slot.dims))
            dims.append(tuple(next(rest) if d < 0 else d for d in slot.dims))
        return _Gear(call, values, tuple(dims))

    # ------------------------------------------------------------------ a run

    def run(self, feeds: Mapping[str, np.ndarray], fetch: Sequence[str] | None = None) -> Arrays:
        """Return outputs by the OM's names; values that the OM does not give are left out."""
        arrays = [np.ascontiguousarray(self._cast(s, feeds[s.name])) for s in self._data]
        gear = self._gear_for(arrays)
        undo = Undo(self._acl)
        try:
            self._acl.do("rt.set_context", self._context)
            found = self._execute(arrays, gear, undo)
        except AclError as error:
            raise RuntimeFailed(f"{self.name} does not run: {error}") from error
        finally:
            self.not_released += undo.release()
        return {n: found[n] for n in (self.outputs if fetch is None else fetch) if n in found}

    def _cast(self, slot: _Slot, array: np.ndarray) -> np.ndarray:
        """Return the input in the OM's dtype: ATC makes int32 of int64, or float16 of float32."""
        if slot.dtype is None or slot.aipp or array.dtype == _numpy(slot.dtype):
            return array
        return array.astype(_numpy(slot.dtype))

    def _gear_for(self, arrays: Sequence[np.ndarray]) -> _Gear | None:
        """Return the gear for the inputs; check bytes. Raises RuntimeFailed where none fits."""
        for slot, array in zip(self._data, arrays, strict=True):
            exact = not slot.is_open and slot.aipp != _DYNAMIC_AIPP
            if slot.size and (array.nbytes > slot.size or (exact and array.nbytes < slot.size)):
                raise RuntimeFailed(
                    f"{self.name}: input {slot.name} takes {slot.size:,} bytes"
                    f"{'' if exact else ' at most'}, but is fed {array.nbytes:,} "
                    f"({array.dtype.name}{list(array.shape)})."
                )
        if not self._gears:
            return None
        shapes = tuple(tuple(array.shape) for array in arrays)
        for gear in self._gears:
            if gear.dims == shapes:
                return gear
        sizes = "; ".join(" ".join(map(str, gear.dims)) for gear in self._gears[:6])
        raise RuntimeFailed(
            f"{self.name} was not built for inputs of {' '.join(map(str, shapes))}, only for "
            f"{sizes}{' ...' if len(self._gears) > 6 else ''}. Bind one of those with --shape."
        )

    def _execute(self, arrays: Sequence[np.ndarray], gear: _Gear | None, undo: Undo) -> Arrays:
        acl = self._acl
        data = {slot.index: array for slot, array in zip(self._data, arrays, strict=True)}
        inputs = acl.make("mdl.create_dataset")
        undo.push("mdl.destroy_dataset", inputs)
        for slot in self._slots:
            array = data.get(slot.index)
            size = max(slot.size, array.nbytes if array is not None else 0, 1)
            fed = size if array is None or gear is not None else max(array.nbytes, 1)
            address = self._buffer(inputs, size, fed, undo).address
            if array is not None and array.nbytes:
                acl.do("rt.memcpy", address, size, array.ctypes.data, array.nbytes, self._to_device)
        self._set_sizes(inputs, arrays, gear, undo)
        outputs = acl.make("mdl.create_dataset")
        undo.push("mdl.destroy_dataset", outputs)
        # an output of unknown size gets an empty buffer, for which the run takes memory
        places = [self._buffer(outputs, s.size, s.size, undo) for s in self._results]
        try:
            acl.do("mdl.execute", self._model, inputs, outputs)
        finally:
            for place in places:
                if not place.address:
                    place.address = acl.ask("get_data_buffer_addr", place.buffer)
                    place.size = acl.ask("get_data_buffer_size_v2", place.buffer)
                    if place.address:
                        undo.push("rt.free", place.address)
        return {
            slot.name: self._fetch(slot, place, outputs, gear)
            for slot, place in zip(self._results, places, strict=True)
        }

    def _buffer(self, dataset: int, size: int, fed: int, undo: Undo) -> _Place:
        """Add a buffer of `size` bytes, `fed` of which count, to a dataset."""
        acl = self._acl
        address = 0
        if size:
            address = acl.get("rt.malloc", size, _HUGE_PAGES_FIRST)
            undo.push("rt.free", address)
        buffer = acl.make("create_data_buffer", address, fed)
        undo.push("destroy_data_buffer", buffer)
        acl.get("mdl.add_dataset_buffer", dataset, buffer)
        return _Place(address, size, buffer)

    def _set_sizes(
        self, inputs: int, arrays: Sequence[np.ndarray], gear: _Gear | None, undo: Undo
    ) -> None:
        """Tell the OM the sizes of this run, and AIPP's parameters; the order is the guide's."""
        acl = self._acl
        for slot in self._aipp_slots:
            assert self._aipp is not None
            images = next(
                a for s, a in zip(self._data, arrays, strict=True) if s.aipp == _DYNAMIC_AIPP
            )
            self._aipp.set(acl, undo, self._model, inputs, slot.index, len(images))
        if gear is not None and self._gear_slot is not None:
            index = acl.get("mdl.get_input_index_by_name", self._desc, _GEAR_INPUT)
            acl.do(gear.call, self._model, inputs, index, *gear.values)
            return
        for slot, array in zip(self._data, arrays, strict=True):
            if not slot.is_open:
                continue
            kind = acl.ask("mdl.get_input_data_type", self._desc, slot.index)
            layout = acl.ask("mdl.get_input_format", self._desc, slot.index)
            desc = acl.make("create_tensor_desc", kind, list(array.shape), layout)
            undo.push("destroy_tensor_desc", desc)
            acl.get("mdl.set_dataset_tensor_desc", inputs, desc, slot.index)

    def _fetch(self, slot: _Slot, place: _Place, outputs: int, gear: _Gear | None) -> np.ndarray:
        acl = self._acl
        if slot.dtype is None:
            raise AclError("acl.mdl.get_output_data_type", 0, f"output {slot.name} has a dtype "
                           "that numpy does not hold")  # fmt: skip
        dtype = _numpy(slot.dtype)
        dims = slot.dims
        if gear is not None:
            dims = tuple(acl.get("mdl.get_cur_output_dims", self._desc, slot.index)["dims"])
        elif not slot.size or slot.is_open:
            desc = acl.make("mdl.get_dataset_tensor_desc", outputs, slot.index)
            rank = acl.ask("get_tensor_desc_num_dims", desc)
            dims = tuple(acl.get("get_tensor_desc_dim_v2", desc, i) for i in range(rank))
        need = math.prod(dims) * dtype.itemsize
        if min(dims, default=0) < 0 or need > place.size:
            raise AclError("acl.mdl.execute", 0, f"output {slot.name} is {list(dims)}, {need:,} "
                           f"bytes, but its buffer has {place.size:,}")  # fmt: skip
        raw = np.empty(need, np.uint8)
        if need:
            acl.do("rt.memcpy", raw.ctypes.data, need, place.address, need, self._to_host)
        return raw.view(dtype).reshape(dims)


def _numpy(name: str) -> np.dtype[Any]:
    dtype: np.dtype[Any] = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(dtypes.NUMBERS[name]))
    return dtype
