"""The finding codes: one page each, printed by `graphfix explain` and generated into docs/.

0xx file, 1xx the parser refuses, 2xx silently computed differently, 3xx kernels, 4xx shapes,
5xx precision.
"""

from __future__ import annotations

from dataclasses import dataclass

from graphfix.errors import UsageError, nearest


@dataclass(frozen=True)
class Code:
    """A kind of finding. `headline` is its line in a table, `page` says why and what to do."""

    code: str
    name: str
    effect: str
    headline: str
    page: str
    remedy: str


CODES: dict[str, Code] = {}
BY_NAME: dict[str, Code] = {}


def _add(code: str, name: str, effect: str, headline: str, remedy: str, page: str) -> None:
    entry = Code(code, name, effect, headline, " ".join(page.split()), remedy)
    CODES[code] = BY_NAME[name] = entry


# ---------------------------------------------------------------------- 0xx file
_add("GF001", "external-data-missing", "rejected", "external weights are missing",
     "put the file beside the model, or export again",
     """A tensor refers to a file that is not there. The parser does not open it, so parsing
     passes; the compile step, which needs the weights, fails.""")
_add("GF002", "external-data-short", "rejected", "external weights end too early",
     "copy the weights file again, or export again",
     """The file that a tensor refers to is shorter than offset plus the tensor's size: it was cut
     off, or belongs to another export.""")
_add("GF003", "external-data-outside", "rejected", "external weights lie outside the model's folder",
     "move the file into the model's folder and correct the location",
     """The location is absolute or climbs out with `..`. graphfix never follows such a path; ONNX
     forbids it, and a model from a stranger could read any file of yours.""")
_add("GF004", "sparse-initializer", "miscompiled", "sparse initializers are never read",
     "write them as dense initializers",
     """The parser's schema knows no sparse_initializer: whatever uses one stays unconnected, without
     an error for operators that map to one GE operator. Write the tensor out densely.""")
_add("GF005", "not-sorted", "note", "nodes are not in topological order",
     "nothing: ATC sorts them; other tools may refuse the file",
     """ONNX requires sorted nodes. GE links edges by name and sorts later, so ATC does not mind;
     ONNX Runtime and the onnx checker do.""")
_add("GF006", "shapes-unknown", "note", "shapes could not be inferred",
     "export with static shapes or give --shape",
     """ONNX's shape inference failed on this model, so checks that need ranks or dtypes stay
     silent. What is unknown is never reported as fine or as broken.""")
_add("GF007", "external-data-in-subgraph", "miscompiled", "external data inside a branch or attribute",
     "keep these tensors inline",
     """GE prefixes the model's folder only to locations of the main graph's initializers and Constant
     nodes. In a branch the bare relative path stays; in other tensor attributes (ConstantOfShape) the
     external file is never read.""")

# ---------------------------------------------------------------------- 1xx parser
_add("GF101", "opset-not-registered", "rejected", "registered at other opsets only",
     "convert the model to an opset at which all its operators are registered (11-18)",
     """The parser looks an operator up by exactly domain::opset::type, with the opset of the model's
     opset_import. There is no fall back to a lower version: at opset 19 even Add is refused, because
     the plugins register standard operators for 8 to 18 only, a few with holes (ReduceL1 and ReduceL2
     lack 18). Re-export with opset_version 11..18, or convert the model.""")
_add("GF102", "op-not-registered", "rejected", "registered at no opset",
     "write the operator out of others, cut it off, or add a custom operator",
     """No plugin registers this operator at any opset, so no conversion of the opset helps. Write it
     out of operators that are registered (`graphfix ops OP` names an equivalent), cut the model
     before it, or implement a custom operator with its ONNX plugin.""")
_add("GF103", "domain-not-imported", "rejected", "the model imports no opset of this domain",
     "add the opset_import entry, or remove the operators of that domain",
     """Every node but Constant needs an opset_import entry for its domain; without it the key cannot
     be built and parsing ends with E19999 before any operator is checked.""")
_add("GF104", "domain-not-registered", "rejected", "no plugin for this domain",
     "export without this domain, or write the operator out",
     """Only ai.onnx, npu and mmdeploy have plugins. com.microsoft (written by ONNX Runtime's
     optimizer), ai.onnx.ml, torchvision, aten and others have none: export without contrib operators
     or write them out.""")
_add("GF105", "several-opset-imports", "rejected", "more than one opset_import entry",
     "remove the opset_import entries that no node needs",
     """Releases up to 9.2.0-beta.1 want exactly one opset_import entry as soon as one node has an
     empty domain; an unused entry for ai.onnx.ml or com.microsoft is enough for E16005.""")
_add("GF106", "duplicate-node-name", "rejected", "node names are not unique",
     "give every node a name of its own",
     """Names of nodes, of graph inputs and generated ones (`<initializer>_Initializer_<n>`,
     `<op_type>_<n>` for nameless nodes) share one name space per graph. ONNX does not ask for unique
     node names; GE refuses the second one.""")
_add("GF107", "attribute-refused", "rejected", "the plugin refuses an attribute",
     "change the attribute", """The ONNX plugin of the operator returns an error because of an attribute:
     missing, of an unexpected kind, or a value that it does not know.""")
_add("GF108", "input-refused", "rejected", "the plugin refuses the inputs or outputs",
     "change the inputs", """The ONNX plugin of the operator returns an error because of the number,
     the kind or the shape of inputs or outputs.""")
_add("GF109", "input-beyond-operator", "rejected", "the GE operator has no such input or output",
     "drop the input, or move its content into an attribute",
     """The edge's index does not exist in the GE operator's prototype. The newest source refuses the
     model (E19999); releases up to 9.2.0-beta.1 drop the edge and go on (GF206).""")
_add("GF110", "input-not-connected", "rejected", "an input of an expanded operator is not connected",
     "drop the trailing empty input, or give it a value",
     """The plugin expands the node into several GE operators and wires an input that is empty, missing,
     or produced by nothing: the expansion fails with E19999.""")
_add("GF111", "two-producers", "rejected", "a tensor has two producers",
     "rename one of the outputs",
     """Two nodes, or a node and a graph input, give the same tensor name and something consumes it. The
     second link fails (E18888).""")
_add("GF112", "cycle", "rejected", "the graph has a cycle",
     "break the cycle; ONNX graphs must be acyclic",
     """Nodes on the way to an output feed themselves. GE's sort fails (E18888).""")
_add("GF113", "no-graph-input", "rejected", "the graph has no input", "give the graph an input",
     """A main graph whose input list is empty is refused (E16001), even if its values are all
     constants.""")
_add("GF114", "no-graph-output", "rejected", "a graph has no output", "declare the outputs",
     """A graph, or a branch, without outputs is refused (E16001).""")
_add("GF115", "output-not-produced", "rejected", "a graph output is produced by nothing",
     "remove the output or name what produces it; in a branch insert Identity",
     """GE does not find the output (E19999). In a branch of If this also happens when the branch
     returns an outer tensor directly: only tensors that nodes of a branch use are handed in.""")
_add("GF116", "dtype-unmapped", "rejected", "an element type that GE does not map",
     "cast to a mapped type before export",
     """GE maps float16/32/64, bfloat16, the integers of 8 to 64 bits, bool, string and complex; int4 only
     in the newest source; float8 e4m3fn and e5m2 only as graph inputs. All others, and inputs that are
     no tensors, end with E19999.""")
_add("GF117", "constant-without-data", "rejected", "a constant has no data",
     "write the constant's data", """The tensor has elements but neither raw data nor typed data of the
     field that its type uses, or a negative dim (E19999).""")
_add("GF118", "external-data-key", "rejected", "external data has a key that ATC cannot read",
     "keep only location, offset and length",
     """Every key but location and offset is parsed as a number and stored as the length. A checksum or
     basepath entry fails with E10001, or, when it starts with digits, overwrites the length. A missing
     location fails with E19999.""")
_add("GF119", "control-flow", "rejected", "control flow that GE has no adapter for",
     "unroll the loop, or keep it outside the model",
     """Only If is handled. Loop, Scan and SequenceMap have neither adapter nor plugin: unroll a constant
     trip count, or run the loop on the host.""")
_add("GF120", "if-refused", "rejected", "an If that the adapter refuses",
     "give it exactly then_branch and else_branch; drop empty optional inputs in branches",
     """The adapter wants exactly the attributes then_branch and else_branch, hands captured tensors in as
     inputs, and fails on an empty input name inside a branch (E19999).""")
_add("GF121", "function-call", "rejected", "a call of a model-local function",
     "inline the functions (onnx.inliner), or export without them",
     """The parser's schema has no functions; a call is an unknown operator.""")
_add("GF122", "parser-crash", "rejected", "the parser process itself crashes",
     "rewrite the node", """ATC's parser ends with a signal instead of a message.""")
_add("GF123", "file-size", "rejected", "the file's size is out of range",
     "keep weights as external data", """1 to 2,147,483,647 bytes are allowed.""")
_add("GF124", "no-graph", "rejected", "the file has no graph", "export the model again",
     """The message holds an opset_import but no graph (E16004).""")
_add("GF125", "node-without-inputs", "rejected", "a node without inputs gets lost",
     "replace the node by a constant or a graph input",
     """Up to 9.2.0-beta.1 a node without inputs that is no constant (RandomNormal, SequenceEmpty ...)
     was not added to the graph properly and the conversion failed.""")
_add("GF126", "empty-name-linked", "rejected", "empty names are linked with each other",
     "give skipped outputs a name, drop trailing empty ones",
     """The parser treats the empty name as an ordinary tensor: two skipped outputs clash as soon as
     something skips an input, and a node that skips both feeds itself (E18888).""")
_add("GF150", "compile-refused", "rejected", "parsed, but the compiler will refuse it",
     "change the type or the form", """The parser takes the node; the GE operator's prototype, a later
     pass or the kernel compiler does not. Predicted from prototypes and tables; less certain than a
     parser verdict.""")

# ---------------------------------------------------------------------- 2xx silent
_add("GF201", "attribute-ignored", "miscompiled", "an attribute is never read",
     "write the model so that the attribute is not needed",
     """The plugin does not read the attribute, although ONNX's result depends on it. ATC succeeds, the
     .om computes something else. The message says which value CANN computes where that is known.""")
_add("GF202", "default-differs", "miscompiled", "an omitted attribute means something else",
     "write the attribute out", """ONNX and CANN have different defaults.""")
_add("GF203", "computed-differently", "miscompiled", "the GE operator computes something else",
     "rewrite the node", """The value arrives, but the GE operator or the plugin's expansion does
     something else than ONNX.""")
_add("GF204", "output-type-differs", "miscompiled", "another element type comes out",
     "add a Cast, or use the type that CANN gives", """The GE operator's output has another element
     type than ONNX says; what follows may be refused or read wrongly.""")
_add("GF205", "constant-lost", "miscompiled", "a constant arrives empty",
     "store the value in the attribute `value` as raw data",
     """Only `value` of Constant is read: value_int, value_ints, value_float(s), value_string(s) and
     sparse_value leave an empty tensor without an error.""")
_add("GF206", "input-dropped", "miscompiled", "an input is dropped silently",
     "move the input's content into an attribute, or rewrite the node",
     """Releases up to 9.2.0-beta.1 drop an edge to an input that the GE operator lacks and go on.
     Harmless for the ratio of Dropout, wrong for axes of Pad or Reduce operators.""")
_add("GF207", "output-lost", "miscompiled", "a graph output gets lost",
     "remove the output", """The GE operator has no such output. As a graph output it is not refused:
     an error is logged, the parse succeeds, and the graph has no NetOutput.""")
_add("GF208", "input-left-open", "miscompiled", "an input is left open",
     "give the input a producer", """Nothing produces the tensor (a typo, a sparse initializer, an outer
     scope two levels up). For an operator that maps to one GE operator the parser only logs a
     warning.""")
_add("GF209", "empty-name-fed", "miscompiled", "a skipped input gets a skipped output",
     "give skipped outputs a name",
     """The parser treats the empty name as an ordinary tensor: an input left empty is wired to an output
     left empty elsewhere in the graph.""")
_add("GF210", "attribute-kind", "miscompiled", "an attribute of the wrong kind is skipped",
     "store the attribute with the kind that ONNX declares",
     """Plugins read an attribute only when its type field is filled and of the expected kind; else they
     skip it and use their default.""")
_add("GF211", "constant-too-large", "miscompiled", "a constant has more than 2^31-1 elements",
     "split the constant", """The element count is kept in a 32-bit integer and overflows.""")
_add("GF212", "constant-short", "miscompiled", "a constant holds fewer values than its shape",
     "write all values", """Typed data shorter than the shape is accepted: the last value is repeated.""")
_add("GF213", "nested-capture", "miscompiled", "a nested branch uses a tensor from two levels up",
     "use the tensor in the outer branch too, or lift the inner If",
     """Captured tensors are collected from the direct nodes of a branch before inner Ifs are handled. A
     tensor that only a nested If uses, produced two levels up, stays unconnected.""")
_add("GF290", "harmless-difference", "note", "a difference that changes no result by itself",
     "nothing to do", """Something is dropped or spelled differently without changing the result.""")

# ---------------------------------------------------------------------- 3xx kernels
_add("GF301", "ai-cpu-only", "fallback", "only an AI CPU kernel",
     "replace the operator, or accept the slow path",
     """The SoC family has no AI Core kernel for this GE operator: it runs on the AI CPU, often a hundred
     times slower, with copies before and after.""")
_add("GF302", "dtype-on-ai-cpu", "fallback", "these dtypes run on the AI CPU",
     "cast to a dtype that the AI Core kernel takes",
     """The family has an AI Core kernel, but not for this combination of dtypes; the AI CPU has
     one.""")
_add("GF303", "dtype-without-kernel", "rejected", "no kernel takes these dtypes",
     "cast to a dtype that a kernel takes",
     """Neither AI Core nor AI CPU lists this combination of dtypes (EZ3003, EZ3002). Predicted from the
     kernel tables; the compiler may still insert a cast.""")
_add("GF304", "no-kernel", "note", "no kernel found",
     "ask an ATC run on your CANN; it alone can tell",
     """No table lists a kernel for the GE operator on this family. A pass of GE may replace it before
     kernels are chosen, so this says unknown, not unsupported.""")
_add("GF305", "kernel-static-only", "dynamic", "the kernel takes static shapes only",
     "bind the shapes, or use profiles of fixed sizes",
     """The family's AI Core kernel does not declare dynamic shapes, and the node's shapes are not
     static: it falls to the AI CPU or fails to compile.""")
_add("GF306", "bfloat16-unsupported", "rejected", "the chip has no bfloat16",
     "export in float16 or float32",
     """Ascend 310, 310P and 910 do not support bfloat16, whatever the kernel tables say.""")
_add("GF307", "input-must-be-constant", "rejected", "the kernel wants this input as a constant",
     "make the input a constant", """The kernel table marks the input as needed at compile time.""")

# ---------------------------------------------------------------------- 4xx shapes
_add("GF401", "unbound-dim", "dynamic", "an input has an unbound dim",
     "bind it with --shape (ATC: --input_shape), or convert with profiles",
     """In static mode ATC stops with E10001 as long as an input has a dim of -1. Bind every dim with
     --input_shape, or give profiles: --dynamic_batch_size, --dynamic_image_size, --dynamic_dims; or a
     range in --input_shape where the chip has dynamic kernels.""")
_add("GF402", "baked-dim", "dynamic", "a dim declared dynamic is baked in",
     "export again with the other exporter, or check the model at the size that it was traced at",
     """An input is declared dynamic, but a constant inside the model (the shape of a Reshape or Expand,
     the sizes of a Split) fixes it to the size it was traced at. torch's TorchScript exporter does so
     with nn.MultiheadAttention. Profiles over such a model fail or compute wrongly.""")
_add("GF403", "data-dependent-shape", "dynamic", "the output's shape depends on data",
     "pad to a fixed size, or cut the model here",
     """NonZero, NonMaxSuppression, Unique, Compress and others have a shape that only the run tells.
     Static conversion and profiles do not apply to what follows; many kernels do not either.""")
_add("GF404", "dynamic-on-static-chip", "dynamic", "the chip takes static shapes only",
     "convert with --input_shape or with profiles of fixed sizes",
     """Hardly any kernel of this family declares dynamic shapes; a range in --input_shape will not
     compile.""")
_add("GF405", "shape-not-constant", "dynamic", "a shape input is no constant",
     "make it constant: bind the input shapes and fold",
     """Reshape, Expand, Resize, Slice, Tile and others take their output shape from this input. While it
     is computed at run time, everything after it has dynamic shapes.""")
_add("GF406", "sequence-value", "rejected", "sequence or optional values",
     "write the model without sequences",
     """Sequences become RESOURCE handles on the AI CPU; graph inputs and outputs cannot be sequences, and
     optional types have no GE form at all.""")

# ---------------------------------------------------------------------- 5xx precision
_add("GF501", "constant-overflows-fp16", "precision", "a constant is beyond float16's range",
     "use a mask value of at least -65504, or keep the node in float32 (keep_dtype)",
     """Under force_fp16 (the default) constants become float16, which ends at 65504: larger ones turn
     into infinity or are clipped. Attention masks of -1e9 or -3.4e38 are the usual case.""")
_add("GF502", "epsilon-underflows-fp16", "precision", "an epsilon vanishes in float16",
     "use an epsilon of at least 1e-5, or keep the node in float32 (keep_dtype)",
     """The smallest normal float16 is 6.1e-5, the smallest of all 6e-8. A 1e-12 epsilon becomes 0 and the
     division by zero that it guards against happens.""")
_add("GF503", "infinite-constant", "precision", "a constant is infinite or NaN",
     "use a large finite value, such as -65504, in masks",
     """-inf in a mask gives NaN as soon as a whole row is masked (inf - inf in Softmax).""")
_add("GF504", "int64-narrowed", "note", "int64 runs as int32",
     "make sure that the values fit into 32 bits",
     """Most kernels have no int64; the compiler narrows to int32. A constant beyond 32 bits would be
     cut.""")
_add("GF505", "double-narrowed", "precision", "double has no AI Core kernel",
     "export in float32", """No AI Core kernel computes in double: the node falls to the AI CPU or is
     computed with fewer bits.""")
_add("GF506", "constant-underflows-fp16", "precision", "a constant vanishes in float16",
     "scale the constant, or keep the node in float32 (keep_dtype)",
     """Values below 6e-8 become 0 in float16.""")


def find_code(word: str) -> Code:
    """Return a code by number (`GF101`) or name (`opset-not-registered`); raises UsageError."""
    entry = CODES.get(word.upper()) or BY_NAME.get(word.lower())
    if entry is None:
        raise UsageError(f"{word}: no finding, constraint or topic of that name. "
                         f"{nearest(word, [*CODES, *BY_NAME])} `graphfix explain` lists them.")
    return entry
