"""A stand-in for CANN's pyACL, for tests: it checks order, sizes and leaks, and computes by ONNX.

Its functions take and return what the pyACL reference documents. A stand-in OM is a JSON file that
names an ONNX model and says how the OM differs from it:

    onnx      the model that computes
    inputs    optional: name, dtype, dims of each (-1 for open ones), in the place of the model's
    outputs   optional: names, as get_output_name_by_index would tell them
    half      outputs are float16
    batch, hw, dims   the gears it was built for
    ranges    a dynamic shape without gears; `unsized` outputs report a size of 0
    aipp      static AIPP of the first input: what get_first_aipp_info returns
    dynamic_aipp      the first input has dynamic AIPP

Tests set `fail_at` (the number of the call that fails), `vanish_after` (executions, after which the
device answers nothing), and read `journal`, `violations` and `alive()`.
"""

from __future__ import annotations

import ctypes
import functools
import json
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime

NUMBERS = {
    "float32": 0, "float16": 1, "int8": 2, "int32": 3, "uint8": 4, "int16": 6, "uint16": 7,
    "uint32": 8, "int64": 9, "uint64": 10, "float64": 11, "bool": 12,
}  # fmt: skip
NAMES = {number: name for name, number in NUMBERS.items()}
GEARS = "ascend_mbatch_shape_data"
AIPP = "ascend_dynamic_aipp_data"
UNINITIALIZED, REPEATED, BAD_FILE, BAD_DEVICE, NO_CONTEXT = 100001, 100002, 100003, 107001, 107002
OTHER_CONTEXT, NO_MODEL, BAD_INPUT, BAD_BATCH, LOST, BAD_PARAM = (
    107004, 145003, 100017, 145013, 507010, 100000,
)  # fmt: skip

journal: list[str] = []
violations: list[str] = []
fail_at: int | None = None
fail_code = 507899
vanish_after: int | None = None
run_mode = 1
devices = 1
_handles: dict[str, dict[int, Any]] = {}
_released: set[tuple[str, int]] = set()
_state = SimpleNamespace(
    ready=False, device={}, context=0, next=0x1000, executed=0, calls=0, message=None
)


def reset() -> None:
    """Forget everything; tests call it first."""
    global fail_at, vanish_after, run_mode, devices
    journal.clear()
    violations.clear()
    _handles.clear()
    _released.clear()
    fail_at, vanish_after, run_mode, devices = None, None, 1, 1
    _state.__dict__.update(
        ready=False, device={}, context=0, next=0x1000, executed=0, calls=0, message=None
    )


def alive() -> list[str]:
    """Return everything that was taken and not given back."""
    left = [f"{kind} {hex(h)}" for kind, items in _handles.items() for h in items]
    left += [f"device {d}" for d, count in _state.device.items() if count > 0]
    return left + (["initialised"] if _state.ready else [])


# ---------------------------------------------------------------------- how functions answer


def _answers(name: str, failed: Callable[[int], Any], release: str = "") -> Any:
    """Wrap a function: journal it, let it fail when it is its turn, or when the device is gone.

    A call that gives something back does so also when it fails, as nothing else could.
    """

    def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*args: Any) -> Any:
            _state.calls += 1
            journal.append(name)
            code = fail_code if _state.calls == fail_at else 0
            if vanish_after is not None and _state.executed >= vanish_after and name != "init":
                code = LOST
            if not code and name != "init" and not _state.ready:
                code = UNINITIALIZED
                violations.append(f"{name} before init or after finalize")
            if code:
                _state.message = f"EE9999: Inner Error! {name} [stand-in]"
                if release:
                    function(*args)
                return failed(code)
            return function(*args)

        return call

    return wrap


def _code(name: str, release: str = "") -> Any:
    return _answers(name, lambda code: code, release)


def _value(name: str, empty: Any) -> Any:
    return _answers(name, lambda code: (empty, code))


def _handle(name: str) -> Any:
    return _answers(name, lambda code: 0)


def _take(kind: str, item: Any) -> int:
    _state.next += 0x10
    _handles.setdefault(kind, {})[_state.next] = item
    return _state.next


def _give_back(kind: str, handle: int) -> int:
    if (kind, handle) in _released:
        violations.append(f"{kind} {hex(handle)} given back twice")
        return BAD_PARAM
    if _handles.get(kind, {}).pop(handle, None) is None:
        violations.append(f"{kind} {hex(handle)} given back, but never taken")
        return BAD_PARAM
    _released.add((kind, handle))
    return 0


def _of(kind: str, handle: int) -> Any:
    item = _handles.get(kind, {}).get(handle)
    if item is None:
        violations.append(f"{kind} {hex(handle)} is used, but not alive")
        raise LookupError(kind)
    return item


# ---------------------------------------------------------------------- acl


@_code("init")
def init(config: str = "") -> int:
    if _state.ready:
        return REPEATED
    _state.ready = True
    return 0


@_code("finalize", "initialised")
def finalize() -> int:
    if not _state.ready:
        violations.append("finalize twice")
    if any(_state.device.values()):
        violations.append("finalize while a device is in use")
    _state.ready = False
    return 0


def get_recent_err_msg() -> str | None:
    message, _state.message = _state.message, None
    return message


@_handle("create_data_buffer")
def create_data_buffer(address: int, size: int) -> int:
    if address and len(_of("memory", address)) < size:
        violations.append("a data buffer larger than its memory")
    return _take("data buffer", SimpleNamespace(address=address, size=size))


@_code("destroy_data_buffer", "data buffer")
def destroy_data_buffer(buffer: int) -> int:
    return _give_back("data buffer", buffer)


def get_data_buffer_addr(buffer: int) -> int:
    return _of("data buffer", buffer).address


def get_data_buffer_size_v2(buffer: int) -> int:
    return _of("data buffer", buffer).size


@_handle("create_tensor_desc")
def create_tensor_desc(dtype: int, dims: list[int], layout: int) -> int:
    assert isinstance(dims, list)
    return _take("tensor desc", SimpleNamespace(dtype=dtype, dims=dims))


@_answers("destroy_tensor_desc", lambda code: None, "tensor desc")
def destroy_tensor_desc(desc: int) -> None:
    _give_back("tensor desc", desc)


def get_tensor_desc_num_dims(desc: int) -> int:
    return len(desc_of(desc).dims)


@_value("get_tensor_desc_dim_v2", 0)
def get_tensor_desc_dim_v2(desc: int, index: int) -> tuple[int, int]:
    return desc_of(desc).dims[index], 0


def desc_of(handle: int) -> Any:
    """Return a description that the user made, or one that belongs to a dataset."""
    for dataset in _handles.get("dataset", {}).values():
        for own in dataset.descs.values():
            if own.handle == handle:
                return own
    return _of("tensor desc", handle)


# ---------------------------------------------------------------------- acl.rt


@_code("rt.set_device")
def _set_device(device: int) -> int:
    if not 0 <= device < devices:
        return BAD_DEVICE
    _state.device[device] = _state.device.get(device, 0) + 1
    return 0


@_code("rt.reset_device", "device")
def _reset_device(device: int) -> int:
    if not _state.device.get(device):
        violations.append("reset_device without set_device")
        return BAD_DEVICE
    _state.device[device] -= 1
    if not _state.device[device] and _handles.get("context"):
        violations.append("reset_device while a context is alive")
    return 0


@_value("rt.create_context", 0)
def _create_context(device: int) -> tuple[int, int]:
    if not _state.device.get(device):
        return 0, BAD_DEVICE
    _state.context = _take("context", device)
    return _state.context, 0


@_code("rt.set_context")
def _set_context(context: int) -> int:
    _of("context", context)
    _state.context = context
    return 0


@_code("rt.destroy_context", "context")
def _destroy_context(context: int) -> int:
    if any(om.context == context for om in _handles.get("model", {}).values()):
        violations.append("destroy_context while a model of it is loaded")
    if _handles.get("memory") and len(_handles.get("context", {})) == 1:
        violations.append("destroy_context while device memory is taken")
    if _state.context == context:
        _state.context = 0
    return _give_back("context", context)


@_value("rt.get_run_mode", 0)
def _get_run_mode() -> tuple[int, int]:
    return run_mode, 0


@_value("rt.malloc", 0)
def _malloc(size: int, policy: int) -> tuple[int, int]:
    if size <= 0:
        return 0, BAD_PARAM
    if not _state.context:
        return 0, NO_CONTEXT
    return _room(size), 0


def _room(size: int) -> int:
    memory = (ctypes.c_char * size)()
    address = ctypes.addressof(memory)
    _released.discard(("memory", address))  # an address may be used again
    _handles.setdefault("memory", {})[address] = memory
    return address


@_code("rt.free", "memory")
def _free(address: int) -> int:
    return _give_back("memory", address)


@_code("rt.memcpy")
def _memcpy(target: int, room: int, source: int, count: int, kind: int) -> int:
    if count > room:
        violations.append("memcpy of more than there is room for")
        return BAD_PARAM
    expected = {0: {3}, 1: {1, 2}}[run_mode]
    if kind not in expected:
        violations.append(f"memcpy of kind {kind}")
    device = target if kind == 1 else source
    if run_mode == 1 and len(_of("memory", device)) < count:
        violations.append("memcpy beyond device memory")
        return BAD_PARAM
    ctypes.memmove(target, source, count)
    return 0


# ---------------------------------------------------------------------- acl.mdl: the OM


class _Om:
    """A loaded stand-in OM."""

    def __init__(self, path: str) -> None:
        self.spec = json.loads(Path(path).read_text(encoding="utf-8"))
        self.context = _state.context
        proto = onnx.load(self.spec["onnx"])
        self.session = onnxruntime.InferenceSession(
            proto.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        self.gear: Any = None
        self.inputs = self.spec.get("inputs") or [
            {"name": i.name, "dtype": _dtype(i.type), "dims": _dims(i.shape)}
            for i in self.session.get_inputs()
        ]
        names = self.spec.get("outputs") or [o.name for o in self.session.get_outputs()]
        half = self.spec.get("half", False)
        self.outputs = []
        for name, out in zip(names, self.session.get_outputs(), strict=True):
            dtype = _dtype(out.type)
            self.outputs.append(
                {
                    "name": name,
                    "dtype": "float16" if half and dtype == "float32" else dtype,
                    "dims": _dims(out.shape),
                }
            )
        self.extra = []
        if self.spec.get("dynamic_aipp"):
            self.extra.append({"name": AIPP, "dtype": "uint8", "dims": [3000], "size": 3000})
        if any(key in self.spec for key in ("batch", "hw", "dims")):
            self.extra.append({"name": GEARS, "dtype": "int32", "dims": [4], "size": 16})

    @property
    def all_inputs(self) -> list[dict[str, Any]]:
        return [*self.inputs, *self.extra]

    def gears(self) -> list[list[list[int]]]:
        """Return the dims of all inputs at each gear."""
        found = []
        for batch in self.spec.get("batch", []):
            found.append([[batch if d < 0 else d for d in i["dims"]] for i in self.inputs])
        for hw in self.spec.get("hw", []):
            found.append([_filled(i["dims"], hw) for i in self.inputs])
        for flat in self.spec.get("dims", []):
            rest, gear = list(flat), []
            for i in self.inputs:
                gear.append(rest[: len(i["dims"])])
                del rest[: len(i["dims"])]
            found.append(gear)
        return found

    def size(self, slot: dict[str, Any]) -> int:
        """Return what get_*_size_by_index says: the largest that a buffer can need."""
        if "size" in slot:
            return int(slot["size"])
        item = np.dtype(slot["dtype"]).itemsize
        if min(slot["dims"], default=0) >= 0:
            return math.prod(slot["dims"]) * item
        if self.spec.get("ranges"):
            return 0 if self.spec.get("unsized") or slot in self.inputs else 1 << 16
        if slot in self.inputs:
            position = self.inputs.index(slot)
            return max(math.prod(gear[position]) for gear in self.gears()) * item
        return 1 << 16

    def prepared(self, arrays: list[np.ndarray], aipp: Any) -> list[np.ndarray]:
        """Return what AIPP makes of the first input."""
        info = self.spec.get("aipp") or aipp
        if not info:
            return arrays
        pixels = arrays[0].astype(np.float32)
        if info.get("rbuvSwapSwitch"):
            pixels = pixels[..., ::-1]
        channels = range(pixels.shape[-1])
        mean = [info.get(f"meanChn{c}", 0) + info.get(f"minChn{c}", 0) for c in channels]
        scale = [info.get(f"varReciChn{c}", 1) for c in channels]
        image = ((pixels - np.float32(mean)) * np.float32(scale)).transpose(0, 3, 1, 2)
        return [np.ascontiguousarray(image), *arrays[1:]]


def _dtype(text: str) -> str:
    name = text[len("tensor(") : -1]
    return {"float": "float32", "double": "float64"}.get(name, name)


def _dims(shape: list[Any]) -> list[int]:
    return [d if isinstance(d, int) else -1 for d in shape]


def _filled(dims: list[int], values: list[int]) -> list[int]:
    rest = iter(values * len(dims))
    return [next(rest) if d < 0 else d for d in dims]


@_value("mdl.load_from_file", 0)
def _load(path: str) -> tuple[int, int]:
    if not _state.context:
        return 0, NO_CONTEXT
    try:
        return _take("model", _Om(path)), 0
    except (ValueError, KeyError, OSError):
        return 0, BAD_FILE


@_code("mdl.unload", "model")
def _unload(model: int) -> int:
    om = _handles.get("model", {}).get(model)
    if om is not None and om.context != _state.context:
        violations.append("unload in another context")
        _give_back("model", model)
        return OTHER_CONTEXT
    return _give_back("model", model)


@_handle("mdl.create_desc")
def _create_desc() -> int:
    return _take("model desc", SimpleNamespace(om=None))


@_code("mdl.get_desc")
def _get_desc(desc: int, model: int) -> int:
    _of("model desc", desc).om = _of("model", model)
    return 0


@_code("mdl.destroy_desc", "model desc")
def _destroy_desc(desc: int) -> int:
    return _give_back("model desc", desc)


def _om(desc: int) -> _Om:
    om = _of("model desc", desc).om
    assert om is not None, "get_desc comes first"
    return om


def _slots(desc: int, side: str) -> list[dict[str, Any]]:
    return _om(desc).all_inputs if side == "input" else _om(desc).outputs


def _io(dims: list[int], name: str = "") -> dict[str, Any]:
    return {"name": name, "dimCount": len(dims), "dims": list(dims)}


@_value("mdl.get_input_index_by_name", 0)
def _index_by_name(desc: int, name: str) -> tuple[int, int]:
    names = [s["name"] for s in _om(desc).all_inputs]
    return (names.index(name), 0) if name in names else (0, BAD_PARAM)


@_value("mdl.get_input_dims", {})
def _input_dims(desc: int, index: int) -> tuple[dict[str, Any], int]:
    slot = _om(desc).all_inputs[index]
    return _io(slot["dims"], slot["name"]), 0


@_value("mdl.get_input_dims_v2", {})
def _input_dims_v2(desc: int, index: int) -> tuple[dict[str, Any], int]:
    return _io(_om(desc).all_inputs[index]["dims"]), 0


@_value("mdl.get_output_dims", {})
def _output_dims(desc: int, index: int) -> tuple[dict[str, Any], int]:
    slot = _om(desc).outputs[index]
    return _io(slot["dims"], slot["name"]), 0


@_value("mdl.get_cur_output_dims", {})
def _cur_output_dims(desc: int, index: int) -> tuple[dict[str, Any], int]:
    om = _om(desc)
    if om.gear is None:
        return {}, BAD_PARAM
    return _io(om.current[index]), 0


@_value("mdl.get_dynamic_batch", {})
def _dynamic_batch(desc: int) -> tuple[dict[str, Any], int]:
    sizes = _om(desc).spec.get("batch", [])
    return {"batchCount": len(sizes), "batch": sizes}, 0


@_value("mdl.get_dynamic_hw", {})
def _dynamic_hw(desc: int, index: int) -> tuple[dict[str, Any], int]:
    assert index == -1
    sizes = _om(desc).spec.get("hw", [])
    return {"hwCount": len(sizes), "hw": sizes}, 0


@_value("mdl.get_input_dynamic_gear_count", 0)
def _gear_count(desc: int, index: int) -> tuple[int, int]:
    assert index == -1
    return len(_om(desc).spec.get("dims", [])), 0


@_value("mdl.get_input_dynamic_dims", [])
def _dynamic_dims(desc: int, index: int, count: int) -> tuple[list[dict[str, Any]], int]:
    assert index == -1
    return [_io(flat) for flat in _om(desc).spec["dims"][:count]], 0


@_answers("mdl.get_aipp_type", lambda code: (0, 0, code))
def _aipp_type(model: int, index: int) -> tuple[int, int, int]:
    om = _of("model", model)
    if om.all_inputs[index]["name"] == AIPP:
        return 3, 0, 0
    if index == 0 and om.spec.get("aipp"):
        return 1, 0, 0
    if index == 0 and om.spec.get("dynamic_aipp"):
        return 2, len(om.inputs), 0
    return 0, 0, 0


@_value("mdl.get_first_aipp_info", None)
def _first_aipp_info(model: int, index: int) -> tuple[Any, int]:
    info = _of("model", model).spec.get("aipp")
    return (info, 0) if info and index == 0 else (None, 145015)


# ---------------------------------------------------------------------- acl.mdl: a run


@_handle("mdl.create_dataset")
def _create_dataset() -> int:
    return _take("dataset", SimpleNamespace(buffers=[], descs={}, aipp=None))


@_code("mdl.destroy_dataset", "dataset")
def _destroy_dataset(dataset: int) -> int:
    item = _handles.get("dataset", {}).get(dataset)
    if item is not None and any(b in _handles.get("data buffer", {}) for b in item.buffers):
        violations.append("destroy_dataset before its data buffers")
    return _give_back("dataset", dataset)


@_value("mdl.add_dataset_buffer", 0)
def _add_dataset_buffer(dataset: int, buffer: int) -> tuple[int, int]:
    _of("data buffer", buffer)
    _of("dataset", dataset).buffers.append(buffer)
    return dataset, 0


def _get_dataset_buffer(dataset: int, index: int) -> int:
    return _of("dataset", dataset).buffers[index]


@_value("mdl.set_dataset_tensor_desc", 0)
def _set_dataset_tensor_desc(dataset: int, desc: int, index: int) -> tuple[int, int]:
    own = SimpleNamespace(dims=list(_of("tensor desc", desc).dims), handle=0)
    _of("dataset", dataset).descs[index] = own
    return dataset, 0


@_handle("mdl.get_dataset_tensor_desc")
def _get_dataset_tensor_desc(dataset: int, index: int) -> int:
    own = _of("dataset", dataset).descs.get(index)
    return own.handle if own is not None else 0


def _set_gear(model: int, dataset: int, index: int, wanted: list[list[int]]) -> int:
    om = _of("model", model)
    if om.all_inputs[index]["name"] != GEARS:
        return BAD_PARAM
    if len(_of("dataset", dataset).buffers) != len(om.all_inputs):
        violations.append("a size was set before all buffers were added")
    if wanted not in om.gears():
        return BAD_BATCH
    om.gear = wanted
    return 0


@_code("mdl.set_dynamic_batch_size")
def _set_batch(model: int, dataset: int, index: int, size: int) -> int:
    om = _of("model", model)
    gear = [[size if d < 0 else d for d in i["dims"]] for i in om.inputs]
    return _set_gear(model, dataset, index, gear) if "batch" in om.spec else 100019


@_code("mdl.set_dynamic_hw_size")
def _set_hw(model: int, dataset: int, index: int, height: int, width: int) -> int:
    om = _of("model", model)
    gear = [_filled(i["dims"], [height, width]) for i in om.inputs]
    return _set_gear(model, dataset, index, gear) if "hw" in om.spec else 100019


@_code("mdl.set_input_dynamic_dims")
def _set_dims(model: int, dataset: int, index: int, dims: dict[str, Any]) -> int:
    om = _of("model", model)
    assert dims["dimCount"] == len(dims["dims"]) and isinstance(dims["name"], str)
    rest, gear = list(dims["dims"]), []
    for i in om.inputs:
        gear.append(rest[: len(i["dims"])])
        del rest[: len(i["dims"])]
    return _set_gear(model, dataset, index, gear) if "dims" in om.spec else 100019


@_code("mdl.execute")
def _execute(model: int, inputs: int, outputs: int) -> int:
    om = _handles.get("model", {}).get(model)
    if om is None:
        return NO_MODEL
    if om.context != _state.context:
        violations.append("execute in another context than load")
        return OTHER_CONTEXT
    fed, got = _of("dataset", inputs), _of("dataset", outputs)
    if len(fed.buffers) != len(om.all_inputs) or len(got.buffers) != len(om.outputs):
        return BAD_INPUT
    if om.gears() and om.gear is None:
        violations.append("execute without a size")
        return BAD_BATCH
    if om.spec.get("dynamic_aipp") and fed.aipp is None:
        violations.append("execute without the parameters of dynamic AIPP")
        return 145014
    arrays = []
    for position, slot in enumerate(om.inputs):
        buffer = _of("data buffer", fed.buffers[position])
        dims = slot["dims"]
        if om.gear is not None:
            dims = om.gear[position]
        elif position in fed.descs:
            dims = fed.descs[position].dims
        elif om.spec.get("dynamic_aipp") and position == 0:
            dims = fed.aipp["dims"]
        dtype = np.dtype(slot["dtype"])
        need = math.prod(dims) * dtype.itemsize
        whole = buffer.size if om.gear is None else om.size(slot)
        if min(dims, default=0) < 0 or buffer.size < need or (buffer.size != whole):
            return BAD_INPUT
        if om.gear is None and not om.spec.get("dynamic_aipp") and need and buffer.size != need:
            return BAD_INPUT
        raw = bytes(_of("memory", buffer.address)[:need])
        arrays.append(np.frombuffer(raw, dtype).reshape(dims))
    arrays = om.prepared(arrays, fed.aipp)
    wanted = [np.dtype(_dtype(i.type)) for i in om.session.get_inputs()]
    names = [i.name for i in om.session.get_inputs()]
    feeds = {n: a.astype(d) for n, a, d in zip(names, arrays, wanted, strict=True)}
    om.current = []
    for position, array in enumerate(om.session.run(None, feeds)):
        array = np.asarray(array).astype(om.outputs[position]["dtype"])
        om.current.append(list(array.shape))
        _state.next += 0x10
        got.descs[position] = SimpleNamespace(dims=list(array.shape), handle=_state.next)
        buffer = _of("data buffer", got.buffers[position])
        if not buffer.address:  # the run makes room, and the user frees it
            buffer.address, buffer.size = _room(max(array.nbytes, 1)), array.nbytes
        if buffer.size < array.nbytes:
            return 100018
        ctypes.memmove(buffer.address, array.tobytes(), array.nbytes)
    _state.executed += 1
    return 0


# ---------------------------------------------------------------------- acl.mdl: dynamic AIPP


@_handle("mdl.create_aipp")
def _create_aipp(batch: int) -> int:
    return _take("aipp", {"batch": batch})


@_code("mdl.destroy_aipp", "aipp")
def _destroy_aipp(aipp: int) -> int:
    return _give_back("aipp", aipp)


def _aipp_setter(name: str, keep: Callable[..., dict[str, Any]]) -> Any:
    @_code(f"mdl.{name}")
    def setter(aipp: int, *args: Any) -> int:
        _of("aipp", aipp).update(keep(*args))
        return 0

    return setter


def _channels(key: str) -> Callable[..., dict[str, Any]]:
    return lambda a, b, c, d, image: {f"{key}{i}": v for i, v in enumerate((a, b, c, d))}


@_code("mdl.set_input_aipp")
def _set_input_aipp(model: int, dataset: int, index: int, aipp: int) -> int:
    om, given = _of("model", model), dict(_of("aipp", aipp))
    if om.all_inputs[index]["name"] != AIPP or given.get("inputFormat") != 3:
        return BAD_PARAM
    given["dims"] = [given["batch"], given["height"], given["width"], 3]
    _of("dataset", dataset).aipp = given
    return 0


rt = SimpleNamespace(
    set_device=_set_device, reset_device=_reset_device, create_context=_create_context,
    set_context=_set_context, destroy_context=_destroy_context, get_run_mode=_get_run_mode,
    malloc=_malloc, free=_free, memcpy=_memcpy,
)  # fmt: skip
mdl = SimpleNamespace(
    load_from_file=_load, unload=_unload, create_desc=_create_desc, get_desc=_get_desc,
    destroy_desc=_destroy_desc, get_input_index_by_name=_index_by_name,
    get_num_inputs=lambda desc: len(_slots(desc, "input")),
    get_num_outputs=lambda desc: len(_slots(desc, "output")),
    get_input_dims=_input_dims, get_input_dims_v2=_input_dims_v2, get_output_dims=_output_dims,
    get_cur_output_dims=_cur_output_dims,
    get_input_name_by_index=lambda desc, i: _slots(desc, "input")[i]["name"],
    get_output_name_by_index=lambda desc, i: _slots(desc, "output")[i]["name"],
    get_input_data_type=lambda desc, i: NUMBERS[_slots(desc, "input")[i]["dtype"]],
    get_output_data_type=lambda desc, i: NUMBERS[_slots(desc, "output")[i]["dtype"]],
    get_input_format=lambda desc, i: 2, get_output_format=lambda desc, i: 2,
    get_input_size_by_index=lambda desc, i: _om(desc).size(_slots(desc, "input")[i]),
    get_output_size_by_index=lambda desc, i: _om(desc).size(_slots(desc, "output")[i]),
    get_dynamic_batch=_dynamic_batch, get_dynamic_hw=_dynamic_hw,
    get_input_dynamic_gear_count=_gear_count, get_input_dynamic_dims=_dynamic_dims,
    get_aipp_type=_aipp_type, get_first_aipp_info=_first_aipp_info,
    create_dataset=_create_dataset, destroy_dataset=_destroy_dataset,
    add_dataset_buffer=_add_dataset_buffer, get_dataset_buffer=_get_dataset_buffer,
    set_dataset_tensor_desc=_set_dataset_tensor_desc,
    get_dataset_tensor_desc=_get_dataset_tensor_desc, set_dynamic_batch_size=_set_batch,
    set_dynamic_hw_size=_set_hw, set_input_dynamic_dims=_set_dims, execute=_execute,
    create_aipp=_create_aipp, destroy_aipp=_destroy_aipp, set_input_aipp=_set_input_aipp,
    set_aipp_input_format=_aipp_setter("set_aipp_input_format", lambda f: {"inputFormat": f}),
    set_aipp_src_image_size=_aipp_setter(
        "set_aipp_src_image_size", lambda w, h: {"width": w, "height": h}),
    set_aipp_csc_params=_aipp_setter("set_aipp_csc_params", lambda *a: {"csc": a}),
    set_aipp_rbuv_swap_switch=_aipp_setter(
        "set_aipp_rbuv_swap_switch", lambda s: {"rbuvSwapSwitch": s}),
    set_aipp_ax_swap_switch=_aipp_setter("set_aipp_ax_swap_switch", lambda s: {"ax": s}),
    set_aipp_crop_params=_aipp_setter("set_aipp_crop_params", lambda *a: {"crop": a}),
    set_aipp_padding_params=_aipp_setter("set_aipp_padding_params", lambda *a: {"padding": a}),
    set_aipp_dtc_pixel_mean=_aipp_setter("set_aipp_dtc_pixel_mean", _channels("meanChn")),
    set_aipp_dtc_pixel_min=_aipp_setter("set_aipp_dtc_pixel_min", _channels("minChn")),
    set_aipp_pixel_var_reci=_aipp_setter("set_aipp_pixel_var_reci", _channels("varReciChn")),
)  # fmt: skip
