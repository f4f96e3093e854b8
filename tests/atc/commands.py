"""Commands for the tests of lint and for docs/atc_mistakes.md.

KNOWN are the mistakes that a study of the documents and the source listed; GUIDE are the commands
that a widely read guide from PyTorch to .om prints, spaced as a shell wants them or, where it says
so, as its page prints them; RIGHT are commands without a mistake.
"""

from __future__ import annotations

END = "--framework=5 --output=m --soc_version=Ascend310P3"
M = f"atc --model=m.onnx {END}"

# (what people write, command, ids that lint must give, effect of the first of them)
KNOWN: list[tuple[str, str, list[str]]] = [
    (
        "--dynamic_batch, an abbreviation",
        f'{M} --input_shape="x:-1,3,224,224" --dynamic_batch=1,2,4',
        ["abbreviated"],
    ),
    (
        "batch profiles over a fixed batch",
        f'{M} --input_shape="x:1,3,224,224" --dynamic_batch_size=1,2,4',
        ["fixed-batch"],
    ),
    (
        "--input_shape once per input",
        f'{M} --input_shape="a:1,3" --input_shape="b:1,4"',
        ["shape-repeated"],
    ),
    (
        "brackets in --input_shape",
        f'{M} --input_shape="input_ids:[1,512]"',
        ["shape-brackets"],
    ),
    (
        "force_fp16 sold as float32",
        f"# force FP32\n{M} --precision_mode=force_fp16",
        ["fp16-for-fp32"],
    ),
    (
        "an option that does not exist",
        f"{M} --customop_dynamic_batch_strategy=1",
        ["unknown-option"],
    ),
    (
        "--dynamic_dims over a fixed shape",
        f'{M} --input_format=ND --input_shape="ids:1,512" --dynamic_dims="16;512"',
        ["fixed-dims"],
    ),
    (
        "--dynamic_dims without ND",
        f'{M} --input_shape="ids:1,-1" --dynamic_dims="16;512"',
        ["dims-without-nd"],
    ),
    (
        "two kinds of profiles",
        f'{M} --input_shape="x:-1,3,-1,-1" --dynamic_batch_size=1,2 '
        '--dynamic_image_size="64,64;128,128"',
        ["two-profile-options"],
    ),
    (
        "one profile",
        f'{M} --input_shape="x:-1,3,224,224" --dynamic_batch_size="8"',
        ["one-profile"],
    ),
    (
        "a range as profile",
        f'{M} --input_shape="x:-1,3,224,224" --dynamic_batch_size="1~8"',
        ["profile-form"],
    ),
    (
        "a range under profiles",
        f'{M} --input_shape="x:1~8,3,224,224" --dynamic_batch_size="1,8"',
        ["range-with-profiles"],
    ),
    (
        "-1 without profiles",
        f'{M} --input_shape="x:-1,3,224,224"',
        ["open-dim-without-profiles"],
    ),
    (
        "a semicolon without quotes",
        f"{M} --input_shape=a:1,3;b:1,4",
        ["unquoted-semicolon"],
    ),
    (
        "both precision options",
        f"{M} --precision_mode=force_fp32 --precision_mode_v2=origin",
        ["two-precision-modes"],
    ),
    (
        "--precision_mode=fp16",
        f"{M} --precision_mode=fp16",
        ["bad-value"],
    ),
    (
        "a family as --soc_version",
        "atc --model=m.onnx --framework=5 --output=m --soc_version=Ascend310P",
        ["soc-family"],
    ),
    (
        "Ascend910B for an A2 card",
        "atc --model=m.onnx --framework=5 --output=m --soc_version=Ascend910B",
        ["soc-first-910"],
    ),
    (
        "--output with .om",
        "atc --model=m.onnx --framework=5 --output=model.om --soc_version=Ascend310P3",
        ["output-suffix"],
    ),
    (
        "--output_type=BF16",
        f"{M} --output_type=BF16",
        ["bad-output-type"],
    ),
    (
        "a PyTorch file",
        "atc --model=net.pth --framework=5 --output=net --soc_version=Ascend310P3",
        ["pytorch-file"],
    ),
    (
        "AIPP with --dynamic_dims",
        f'{M} --input_format=ND --input_shape="x:-1,3,224,224" --dynamic_dims="1;2" '
        "--insert_op_conf=aipp.cfg",
        ["aipp-with-dims"],
    ),
    (
        "--auto_tune_mode",
        f'{M} --auto_tune_mode="RL,GA"',
        ["removed-option"],
    ),
    (
        "a mix list without a mixed mode",
        f"{M} --modify_mixlist=mix.json",
        ["mixlist-without-mix"],
    ),
    (
        "an operator list without its mode",
        f"{M} --optypelist_for_implmode=Pooling",
        ["implmode-list-alone"],
    ),
    (
        "a node without its index",
        f'{M} --out_nodes="conv1"',
        ["out-node-without-index"],
    ),
    (
        "one dash, hyphens in a name",
        f"atc -model=m.onnx {END} --input-shape=x:1,3,224,224",
        ["odd-dashes"],
    ),
    (
        "a space behind the =",
        f"atc --model= m.onnx {END}",
        ["stray-word"],
    ),
]

_NET = (
    "atc --model=transformer.onnx --output=transformer --framework=5 --soc_version=Ascend910 "
    '--input_shape="input_ids:[1,512]" --input_shape="attention_mask:[1,512]"'
)
_PLAIN = "atc --model=model.onnx --output=model --framework=5 --soc_version=Ascend910"
_REPEATED = ["soc-family", "shape-brackets", "shape-repeated"]

GUIDE: list[tuple[str, str, list[str]]] = [
    ("the first command", f"{_NET} --log=info", _REPEATED),
    (
        "the same as its page prints it",
        "# 基础转换命令atc--model=transformer.onnx\\--output=transformer\\--framework=5\\"
        '--soc_version=Ascend910\\--input_shape="input_ids:[1,512]"\\'
        '--input_shape="attention_mask:[1,512]"\\--log=info',
        ["lost-spaces", *_REPEATED],
    ),
    ("shape in its table", '--input_shape="input_ids:[1,512]"', ["shape-brackets"]),
    ("precision in its table", "--precision_mode=allow_fp16", ["bad-value"]),
    ("mixed precision in its table", "--precision_mode=allow_mixed_precision", ["bad-value"]),
    ("batch in its table", "--dynamic_batch=1,2,4,8", ["abbreviated"]),
    ("dims in its table", "--dynamic_dims=16,32,64", ["dims-commas"]),
    (
        "dynamic batch",
        f'{_NET} --dynamic_batch="1,2,4,8" --log=info',
        [*_REPEATED, "abbreviated", "fixed-batch"],
    ),
    (
        "dynamic sequence length",
        f'{_NET} --dynamic_dims="16,32,64,128,256,512" --log=info',
        [*_REPEATED, "fixed-dims", "dims-commas", "dims-without-nd"],
    ),
    (
        "mixed precision",
        f"# 解决 1:使用混合精度\n{_PLAIN} --precision_mode=allow_mixed_precision",
        ["soc-family", "bad-value"],
    ),
    (
        "float32, as it says",
        f"# 解决 2:强制 FP32\n{_PLAIN} --precision_mode=force_fp16",
        ["soc-family", "fp16-for-fp32"],
    ),
    (
        "against too little memory",
        f"{_PLAIN} --buffer_optimize=optimize_for_memory",
        ["soc-family", "bad-value"],
    ),
    ("fusion switches", f"{_PLAIN} --fusion_switch_file=fusion_switch.cfg", ["soc-family"]),
    (
        "a custom operator",
        f"{_PLAIN} --op_select_implmode=high_performance "
        "--optypelist_for_implmode=CustomGelu:CustomGeluProc "
        "--customop_dynamic_batch_strategy=1 --insert_op_conf=custom_op.cfg",
        ["soc-family", "unknown-option", "implmode-list-value", "aipp-for-custom-op"],
    ),
    (
        "the last one, behind Python code",
        'print("ONNX export done!")# 3. 转换 OMatc--model=deepseek7b.onnx\\--output=deepseek7b\\'
        '--framework=5\\--soc_version=Ascend910\\--input_shape="input_ids:[1,2048]"\\'
        '--dynamic_batch="1,2,4,8"\\--precision_mode=allow_mixed_precision\\'
        '--buffer_optimize=optimize_for_memory\\--log=infoecho"OM conversion done!"',
        ["lost-spaces", "soc-family", "shape-brackets", "abbreviated", "fixed-batch", "bad-value"],
    ),
]

_TF = "atc --model=frozen.pb --framework=3 --output=tf --soc_version=Ascend310P3"
_CAFFE = "atc --model=r.prototxt --weight=r.caffemodel --framework=0 --output=r"
_A2 = "atc --model=m.onnx --framework=5 --output=m --soc_version=Ascend910B3"

RIGHT: list[str] = [
    M,
    "atc --model m.onnx --framework 5 --output m --soc_version Ascend310P3",
    f"/usr/local/Ascend/ascend-toolkit/latest/bin/atc --model=m.onnx {END}",
    "atc \\\n  --model=m.onnx \\\n  --framework=5 \\\n  --output=out/m \\\n"
    "  --soc_version=Ascend310P3 \\\n  --log=error",
    f"source /usr/local/Ascend/ascend-toolkit/set_env.sh && {M} 2>&1 | tee atc.log",
    f"nohup {M} > atc.log 2>&1 &",
    f"docker run --rm -v $PWD:$PWD -w $PWD image:tag {M}",
    f"ssh host 'cd /data; {M}'",
    f"if ! {M}; then echo failed; exit 1; fi",
    f"export X=1; time {M}; echo done",
    f"OUT=$({M})",
    'for b in 1 4 8; do\n  atc --model=m.onnx --framework=5 --output="m_$b" '
    '--soc_version="$SOC" --input_shape="x:$b,3,224,224"\ndone',
    "atc --model=${MODEL}.onnx --framework=5 --output=${MODEL} --soc_version=${SOC} $EXTRA",
    f'{M} --input_shape="x:1,3,224,224"',
    f"{M} --input_shape='a:1,3;b:1,4' --input_format=ND",
    f"{M} --input_shape=x:1,3,224,224 --log=info",
    f'{M} --input_shape="images:1,3,640,640" --input_format=NCHW --output_type=FP16',
    f'{M} --input_shape="x:-1,3,224,224" --dynamic_batch_size="1,2,4,8"',
    f"{M} --input_shape=x:-1,3,224,224 --dynamic_batch_size=1,2,4,8,",
    f'{M} --input_shape="x:1,3,-1,-1" --dynamic_image_size="416,416;832,832"',
    f'{M} --input_format=ND --input_shape="ids:-1,-1;mask:-1,-1" '
    '--dynamic_dims="1,16,1,16;4,64,4,64"',
    f'{_A2} --input_shape="x:1~8,3,224,224"',
    f'{_A2} --input_shape="ids:1~8,1~512;mask:1~8,1~512"',
    f'{M} --input_shape="scale:;x:1,3"',
    f'{M} --input_shape="input:0:1,224,224,3"',
    f'{M} --input_shape="x: 1, 3, 224, 224; y: 1, 4"',
    f"{M} --precision_mode=force_fp32",
    f"# half precision is enough here\n{M} --precision_mode=force_fp16",
    f"# float32 model, run as float16\n{M} --precision_mode=force_fp16",
    f"{M} --precision_mode_v2=origin",
    f"{M} --precision_mode=allow_mix_precision --modify_mixlist=mix.json",
    f"{M} --precision_mode_v2=mixed_float16 --modify_mixlist=mix.json --keep_dtype=keep.cfg",
    f"{_A2} --precision_mode=allow_mix_precision_bf16",
    f"{M} --customize_dtypes=types.cfg --op_precision_mode=op.ini",
    f"{M} --insert_op_conf=aipp.cfg --input_format=NCHW",
    f'{M} --insert_op_conf=aipp.cfg --input_shape="x:-1,3,224,224" --dynamic_batch_size="1,2"',
    f'{M} --out_nodes="Conv_12:0;Relu_3:0" --output_type="Conv_12:0:FP32;Relu_3:0:FP16"',
    f"{M} --external_weight=1 --buffer_optimize=off_optimize",
    f"{M} --fusion_switch_file=fusion_switch.cfg",
    f'{M} --optimization_switch="SomePass:off;OtherPass:on"',
    f"{M} --op_compiler_cache_mode=enable --op_compiler_cache_dir=./cache",
    f"{M} --op_debug_level=1 --debug_dir=./debug --check_report=report.json",
    f"{M} --core_type=VectorCore --aicore_num=4",
    f'{_A2} --aicore_num="24|48"',
    f"{_A2} --deterministic=1 --enable_single_stream=true",
    f"{M} --host_env_os=linux --host_env_cpu=aarch64 --enable_small_channel=1",
    f'{M} --input_fp16_nodes="x;y" --is_input_adjust_hw_layout="true,false"',
    f"{M} --virtual_type=1 --jit_compile=0 --static_model_ops_lower_limit=-1",
    f"{_TF}",
    f'{_TF} --input_format=NHWC --input_shape="input:1,224,224,3" --out_nodes="logits:0"',
    f'{_TF} --input_shape="input:1,-1,-1,3" --dynamic_image_size="64,64;128,128"',
    f"{_TF} --enable_scope_fusion_passes=ScopeLayerNormPass,OtherPass",
    f"{_CAFFE} --soc_version=Ascend310P3",
    f'{_CAFFE} --soc_version=Ascend310 --input_shape="data:1,3,224,224" --input_format=NCHW',
    "atc --model=net.air --framework=1 --output=net --soc_version=Ascend310P3",
    "atc --mode=1 --om=m.om --json=m.json",
    "atc --mode=1 --om=m.onnx --json=m.json --framework=5 --dump_mode=1",
    "atc --mode=6 --om=m.om",
    "atc --mode=5 --om=ge_proto_00000.txt --json=ge.json",
    "atc --mode=3 --model=m.onnx --framework=5 --soc_version=Ascend310P3 --check_report=r.json",
    "atc --mode=30 --model=m.onnx --framework=5 --output=m --soc_version=Ascend035",
    "atc --singleop=op.json --output=ops --soc_version=Ascend310P3",
    "atc --help",
    'os.system("atc --model=m.onnx --framework=5 --output=m --soc_version=Ascend310P3")',
    'subprocess.run(["atc", f"--model={path}", "--framework=5", "--output=m",\n'
    '                "--soc_version=Ascend310P3"])',
    'import os\ncommand = [\n    "atc", "--model=" + path,\n    "--framework=5",  # ONNX\n'
    '    f"--output={folder / name}",\n    f"--soc_version={chip[0]}",\n]\nrun(command)',
    'def build():\n    return (\n        f"atc --model=\'{path}\' "\n        f"--framework=5 "\n'
    '        f"--output={name} --input_shape=\\"{shapes}\\" "\n'
    '        f"--soc_version={chip}"\n    )',
    '"$ATC" --model=m.onnx --framework=5 --output=m --soc_version=Ascend310P3',
    'text = """\natc --model=m.onnx --framework=5 \\\\\n'
    '    --output=m --soc_version=Ascend310P3\n"""',
    "# atc needs set_env.sh\npip install atc-tools\ncd atc && ls\nwhich atc\n" + M,
    f'{M} --input_shape="x:1,3"  # float32 inputs, half inside',
    f"{M}\n\n# fp32 accuracy is checked below\npython compare.py --model=m.onnx",
]

# as people write them in scripts and pages: what lint must name, and what must come out right
WRITTEN: list[tuple[str, list[str], str]] = [
    (
        f'{M} --input_shape="x:1,3,224,224"--log=info',
        ["lost-spaces"],
        "--input_shape=x:1,3,224,224",
    ),
    (
        "atc --framework=5\\ \n  --model=m.onnx\\ \n  --output=m\\ \n  --soc_version=Ascend310P3",
        ["broken-continuation"],
        "--framework=5",
    ),
    (f"/opt/atc/bin/atc {M}", ["stray-word"], "--model=m.onnx"),
    (
        "atc --framework=5 --soc_version=$Ascend310B4\n--model= m.onnx\n--output=m",
        ["broken-continuation", "dollar-before-chip", "stray-word"],
        "--soc_version=Ascend310B4",
    ),
    (f'{M} --input_shape="a:1,3;a:1,4"', ["shape-form"], "--input_shape=a:1,4"),
    (f'{M} --input_shape="a:1,3,b:1,4"', ["shape-form"], '--input_shape="a:1,3;b:1,4"'),
    (f'{M} --input_shape="a=1,3"', ["shape-form"], "--input_shape=a:1,3"),
    (f"{M} --dynamic_dims 1,2;3,4 --input_shape=a:-1,-1 --input_format=ND",
     ["unquoted-semicolon"], '--dynamic_dims="1,2;3,4"'),
    (f"{M} --log=INFO --jit_compile=true --oo_constant_folding=False", ["bad-value"], "--log=info"),
    (f"{M} --inputshape=x:1,3", ["unknown-option"], "--input_shape=x:1,3"),
    (f"{M} --precision_mode=origin", ["bad-value"], "--precision_mode_v2=origin"),
    (f"atc —model=m.onnx {END}", ["typographic-characters"], "--model=m.onnx"),
    (f'{M} --dynamic_image_size="64x64;128x128" --input_shape=x:1,3,64,64',
     ["profile-form", "image-axes"], '--dynamic_image_size="64,64;128,128"'),
    (f"{M} --dynamic_batch_size=2,4 --input_shape='x:-1,3;s:'", ["batch-scalar"],
     '--dynamic_dims="2;4"'),
]  # fmt: skip
