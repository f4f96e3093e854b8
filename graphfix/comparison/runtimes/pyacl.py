"""pyACL with every return code looked at, and everything taken given back in the reverse order.

Signatures and what each function returns: pyACL API reference of CANN 6.0 to 8.5 and the wrappers'
source of 2026. Codes: the aclError page of the same reference.
"""

from __future__ import annotations

import importlib
from typing import Any

from graphfix.comparison.runtimes import RuntimeFailed

REPEAT_INITIALIZE = 100002
REPEAT_FINALIZE = 100037

# code -> (name, what it means and what to do)
CODES: dict[int, tuple[str, str]] = {
    100000: ("INVALID_PARAM", "an argument was refused"),
    100001: ("UNINITIALIZE", "acl.init has not been called"),
    REPEAT_INITIALIZE: ("REPEAT_INITIALIZE", "initialised or loaded twice"),
    100003: ("INVALID_FILE", "the file is missing or cannot be read"),
    100005: ("INVALID_FILE_SIZE", "the file has a size that cannot be right"),
    100006: ("PARSE_FILE", "the file's content cannot be parsed"),
    100011: ("INVALID_MODEL_ID", "no model is loaded under that id"),
    100012: ("DESERIALIZE_MODEL", "the OM does not fit this CANN: convert it again here"),
    100013: ("PARSE_MODEL", "the OM does not fit this CANN: convert it again here"),
    100014: ("READ_MODEL_FAILURE", "the OM is missing or cannot be read"),
    100015: ("MODEL_SIZE_INVALID", "the OM is damaged: convert it again"),
    100016: ("MODEL_MISSING_ATTR", "the OM does not fit this CANN: convert it again here"),
    100017: ("MODEL_INPUT_NOT_MATCH", "inputs do not fit the model"),
    100018: ("MODEL_OUTPUT_NOT_MATCH", "outputs do not fit the model"),
    100019: ("MODEL_NOT_DYNAMIC", "the OM was not built for dynamic sizes"),
    100026: ("UNSUPPORTED_DATA_TYPE", "a dtype is not supported"),
    100027: ("FORMAT_NOT_MATCH", "a format does not fit"),
    REPEAT_FINALIZE: ("REPEAT_FINALIZE", "finalised twice"),
    100039: ("COMPILING_STUB_MODE", "LD_LIBRARY_PATH leads to CANN's stub libraries: source its "
             "set_env.sh"),
    107000: ("RT_PARAM_INVALID", "an argument was refused"),
    107001: ("RT_INVALID_DEVICEID", "there is no such device: npu-smi info lists them (--device)"),
    107002: ("RT_CONTEXT_NULL", "no context is set"),
    107003: ("RT_STREAM_CONTEXT", "a stream is not of this context"),
    107004: ("RT_MODEL_CONTEXT", "the model is not of this context"),
    107017: ("RT_INVALID_HANDLE", "a handle is not valid"),
    107019: ("RT_WAIT_TIMEOUT", "waiting took too long"),
    107020: ("RT_TASK_TIMEOUT", "a task took too long"),
    145000: ("GE_PARAM_INVALID", "an argument was refused"),
    145001: ("GE_EXEC_NOT_INIT", "acl.init has not been called"),
    145002: ("GE_EXEC_MODEL_PATH_INVALID", "there is no OM at that path"),
    145003: ("GE_EXEC_MODEL_ID_INVALID", "no model is loaded under that id"),
    145006: ("GE_EXEC_MODEL_DATA_SIZE_INVALID", "the OM is damaged: convert it again"),
    145011: ("GE_DYNAMIC_INPUT_ADDR_INVALID", "the input that carries the dynamic size is missing"),
    145012: ("GE_DYNAMIC_INPUT_LENGTH_INVALID", "the input that carries the dynamic size is short"),
    145013: ("GE_DYNAMIC_BATCH_SIZE_INVALID", "the OM was not built for this size (--shape)"),
    145014: ("GE_AIPP_BATCH_EMPTY", "AIPP's batch size is not valid"),
    145015: ("GE_AIPP_NOT_EXIST", "the OM has no AIPP there"),
    145016: ("GE_AIPP_MODE_INVALID", "the OM has AIPP in another mode"),
    145021: ("GE_SHAPE_INVALID", "a shape is not valid"),
    145022: ("GE_DATATYPE_INVALID", "a dtype is not valid"),
    148049: ("INVALID_OPP_PATH", "ASCEND_OPP_PATH is not set right: source CANN's set_env.sh"),
    200000: ("BAD_ALLOC", "memory is used up: free some, or choose smaller shapes"),
    200001: ("API_NOT_SUPPORT", "this device or CANN does not support the call"),
    200002: ("INVALID_DEVICE", "there is no such device: npu-smi info lists them (--device)"),
    200006: ("FEATURE_UNSUPPORTED", "this device or CANN does not support the feature"),
    207000: ("RT_FEATURE_NOT_SUPPORT", "this device or CANN does not support the feature"),
    207001: ("RT_MEMORY_ALLOCATION", "the device's memory is used up: choose smaller shapes, or "
             "stop other jobs (npu-smi info)"),
    207003: ("RT_AICORE_OVER_FLOW", "a kernel overflowed"),
    207004: ("RT_NO_DEVICE", "the device is not there or not usable: see npu-smi info"),
    207005: ("RT_RESOURCE_ALLOC_FAIL", "streams or the like are used up: stop other jobs"),
    207006: ("RT_NO_PERMISSION", "no permission: the user must be in group HwHiAiUser"),
    207010: ("RT_NO_MODEL_RESOURCE", "too many models are loaded"),
    207018: ("RT_DEVICE_OOM", "the device's memory is used up: choose smaller shapes, or stop "
             "other jobs (npu-smi info)"),
    245000: ("GE_MEMORY_ALLOCATION", "memory is used up"),
    245001: ("GE_MEMORY_OPERATE_FAILED", "memory could not be copied"),
    245002: ("GE_DEVICE_MEMORY_ALLOCATION_FAILED", "the device's memory is used up"),
    500000: ("INTERNAL_ERROR", "an unknown internal error"),
    500001: ("FAILURE", "an internal error"),
    500002: ("GE_FAILURE", "an error in the graph engine"),
    500003: ("RT_FAILURE", "an error in the runtime"),
    500004: ("DRV_FAILURE", "an error in the driver"),
    507000: ("RT_INTERNAL_ERROR", "an internal error of the runtime"),
    507008: ("RT_SOC_VERSION", "the SoC is not told: driver and firmware may not fit CANN"),
    507010: ("RT_LOST_HEARTBEAT", "the device has stopped answering: see npu-smi info"),
    507011: ("RT_MODEL_EXECUTE", "the model failed on the device"),
    507012: ("RT_REPORT_TIMEOUT", "the device gave no report in time"),
    507014: ("RT_AICORE_TIMEOUT", "a kernel on the AI Core took too long"),
    507015: ("RT_AICORE_EXCEPTION", "a kernel on the AI Core failed"),
    507016: ("RT_AICORE_TRAP_EXCEPTION", "a kernel on the AI Core was trapped"),
    507017: ("RT_AICPU_TIMEOUT", "a kernel on the AI CPU took too long"),
    507018: ("RT_AICPU_EXCEPTION", "a kernel on the AI CPU failed"),
    507033: ("RT_DEV_SETUP_ERROR", "the device did not start"),
    507053: ("RT_DEVICE_MEM_ERROR", "the device's memory has a fault"),
    507054: ("RT_HBM_MULTI_BIT_ECC_ERROR", "the device's memory has a fault"),
    507899: ("RT_DRV_INTERNAL_ERROR", "an internal error of the driver: see npu-smi info"),
    507901: ("RT_SOCKET_CLOSE", "the connection to the device is closed: see npu-smi info"),
    545000: ("GE_INTERNAL_ERROR", "an unknown internal error of the graph engine"),
    545001: ("GE_LOAD_MODEL", "the OM could not be loaded: was it made for this SoC and CANN?"),
    545009: ("GE_UNLOAD_MODEL", "the model could not be unloaded"),
    545601: ("GE_MODEL_EXECUTE_TIMEOUT", "the model took too long"),
}  # fmt: skip

# of codes that are not in the table, by their first digit
_KINDS = {
    "1": "the environment or the use of the interface is wrong",
    "2": "a resource is missing or not supported",
    "3": "a queue or storage is full or empty",
    "5": "an internal error of device, driver or CANN: see its log",
}


class AclError(RuntimeFailed):
    """A call of pyACL that failed: `call` is its name, `code` its aclError (0: no code)."""

    def __init__(self, call: str, code: int, what: str, detail: str = "") -> None:
        self.call, self.code = call, code
        super().__init__(f"{call} failed{': ' if what else ''}{what}.{detail}")


def meaning(code: int) -> str:
    """Return what an aclError means, with its number and its name where documented."""
    if code in CODES:
        name, text = CODES[code]
        return f"{code} ACL_ERROR_{name}, {text}"
    text = _KINDS.get(str(code)[:1], "not a documented code") if code > 99999 else "unknown"
    return f"{code}, {text}"


class Acl:
    """The module `acl`, called by the convention that each of its functions follows.

    Raises RuntimeFailed when pyACL is not installed.
    """

    def __init__(self) -> None:
        try:
            self.module: Any = importlib.import_module("acl")
        except ImportError as error:
            reason = "" if isinstance(error, ModuleNotFoundError) else f" ({error})"
            raise RuntimeFailed(
                f"Running an .om needs pyACL{reason}. It comes with the CANN toolkit on a machine "
                "with an NPU: source its set_env.sh (usually /usr/local/Ascend/ascend-toolkit/"
                "set_env.sh) and run this again; or save the outputs there, and compare those."
            ) from None
        if not hasattr(self.module, "mdl"):
            raise RuntimeFailed(
                "The Python module `acl` that is installed is not CANN's pyACL. Source CANN's "
                "set_env.sh, which puts pyACL in front of it."
            )

    def has(self, name: str) -> bool:
        """Whether this release of pyACL has a function."""
        target = self.module
        for part in name.split("."):
            target = getattr(target, part, None)
        return target is not None

    def ask(self, name: str, *args: Any) -> Any:
        """Call a function that returns a plain value and no code."""
        target = self.module
        for part in name.split("."):
            target = getattr(target, part, None)
        if target is None:
            raise AclError(f"acl.{name}", 0, "this CANN's pyACL does not have it")
        return target(*args)

    def do(self, name: str, *args: Any) -> None:
        """Call a function that returns a code, or nothing."""
        self.check(name, self.ask(name, *args) or 0)

    def get(self, name: str, *args: Any) -> Any:
        """Call a function that returns (value, ..., code); return the value or the values."""
        *values, code = self.ask(name, *args)
        self.check(name, code)
        return values[0] if len(values) == 1 else tuple(values)

    def make(self, name: str, *args: Any) -> int:
        """Call a function that returns an address, 0 where it failed."""
        handle: int = self.ask(name, *args) or 0
        if not handle:
            raise AclError(f"acl.{name}", 0, "it returned no object", self._detail())
        return handle

    def check(self, name: str, code: int) -> None:
        """Raise AclError for a code that is not 0."""
        if code:
            raise AclError(f"acl.{name}", code, meaning(code), self._detail())

    def _detail(self) -> str:
        """Return the first line of CANN's own message on the last error."""
        if not self.has("get_recent_err_msg"):
            return ""
        lines = (self.module.get_recent_err_msg() or "").strip().splitlines()
        return f" CANN says: {lines[0][:200]}" if lines else ""


class Undo:
    """Calls that give back what was taken, to be made in the reverse order."""

    def __init__(self, acl: Acl) -> None:
        self._acl = acl
        self._calls: list[tuple[str, tuple[Any, ...]]] = []

    def push(self, name: str, *args: Any) -> None:
        """Note the call that undoes the one just made."""
        self._calls.append((name, args))

    def release(self) -> list[str]:
        """Make all calls once, whatever fails; return what failed."""
        failed = []
        while self._calls:
            name, args = self._calls.pop()
            try:
                self._acl.do(name, *args)
            except AclError as error:
                failed.append(str(error))
        return failed
