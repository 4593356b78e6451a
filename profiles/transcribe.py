"""Writes the shipped profiles from published measurements.

    python profiles/transcribe.py DATA [FOLDER]

DATA holds `triton_published/` and `sagemaker_mme_gpu/`: CSV files that are not part of the program, each row with
its source. FOLDER is where the YAML files go, by default beside this script. The same data give the same files.

What the data say of a model on its GPU is marked measured or published. The rest is estimated from something
similar, with a note that says from what, or follows from a rule; each rule's text stands in the `sources` of the
files that use it. Some models on a T4 and on CPUs are told one by one here; all others stand in a table
(:mod:`transcribe_series`). Where rows were taken under load, timing is fitted as `mmesim profile fit` does it; that
takes a minute or two. The load test of the SageMaker endpoint is used up to 60 users only, so that the rest of it can
be predicted.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from transcribe_data import RULES, Data, K, Profile, Row, Table, cite, mb, one, table
from transcribe_fits import fitted
from transcribe_rules import BENCH, BERT_BASE_M, FRONTEND_MS, Rules, outside_compute
from transcribe_tables import Measured, measured
from transcribe_yaml import written


def weights(parameters_m: float, width: int, source: str, basis: str = "rule", note: str = "") -> K:
    """Extracted files in MB from a parameter count."""
    return K(f"{parameters_m * width:.2f}", basis, source,
             note="; ".join(part for part in (f"{parameters_m:g} M parameters x {width} bytes", note) if part))


def served(rules: Rules, rows: list[Row], name: str, model: str, task: str, what: str, framework: str,
           files: K, **more: object) -> Profile:
    """The profile of a model of NVIDIA's Triton tables; `rows` are its rows with one request in flight."""
    count = int(float(rows[0]["instance_count"] or 1))
    top = max(int(float(row[name] or 0)) for row in rows for name in ("max_batch_size", "batch_size"))
    stated = K(count, "published", cite(rows[0])) if rows[0]["instance_count"] else \
        K(count, "rule", RULES["rule-batcher"], note="one instance")
    filled = Profile(
        name=name, model=model, task=task, input=what, backend=rows[0]["framework_backend"],
        precision=rows[0]["precision"], framework=framework, latency=table(rows), files=files,
        max_batch_size=K(top, "published", cite(rows[0]), note="" if rows[0]["max_batch_size"] == str(top) else
                         "the largest batch of the table"),
        instance_count=stated, gpu_bytes=rules.gpu_memory(framework, files, count),
        framework_base_bytes=rules.base_memory(framework), load_fixed=rules.load_fixed(framework, files),
        overhead=outside_compute(rows[0]))
    return replace(filled, **more)  # type: ignore[arg-type]


def t4_profiles(data: Data, rules: Rules) -> list[Profile]:
    return [*bench_profiles(data, rules), *resnet_profiles(data, rules), *bert_profiles(data, rules),
            *other_profiles(data, rules)]


MME = "aws-samples/sagemaker-mme-gpu-benchmarking @ebcfe11c, model configurations"


def _endpoint(latency: Table, rules: Rules, files: K, framework: str, **more: object) -> dict[str, object]:
    """Fields shared by the models of the multi-model benchmark."""
    return {"latency": latency, "files": files, "framework": framework,
            "max_batch_size": K(32, "published", MME), "instance_count": K(1, "published", MME),
            "preferred": K("[16]", "published", MME), "delay": K("0ms", "published", MME),
            "framework_base_bytes": rules.base_memory(framework),
            "load_fixed": rules.load_fixed(framework, files)} | more


IMAGE = "image classification"
PIXELS = "3x224x224 float32 as JSON, about 3 MB"
TOKENS = "128 tokens as JSON"


def bench_profiles(data: Data, rules: Rules) -> list[Profile]:
    """Models of the SageMaker multi-model benchmark; its memory steps are the best there are."""
    torchvision = one(data.sizes, model="resnet50", format="torch .pth", precision="fp32")
    resnet_files = K(f"{float(torchvision['file_size_mb']):.2f}", "published", cite(torchvision),
                     torchvision["source_locator"])
    convolution = resnet_fp32(data)
    image_cpu, image_overhead = rules.host_work("resnet50", convolution.at_one())
    image = {"cpu_per_item": image_cpu, "overhead": image_overhead}
    bert = table(data.measured(model="bert-base", precision="fp16", input_spec="seqlen=128"),
                 note="copies to and from the GPU are not in it")
    bert_cpu, bert_overhead = rules.host_work("bert-base-uncased", bert.at_one())
    text = {"cpu_per_item": bert_cpu, "overhead": bert_overhead}
    plan = weights(BERT_BASE_M, 2, RULES["rule-weights"], note="a larger plan (518 MB) was published for batch 128")
    whole = one(data.measurements, model="bert-base-uncased", framework_backend="torchscript", gpu="T4")
    vit_row = one(data.sizes, model="vit_l_16", format="torch .pth")
    vit_files = K(f"{float(vit_row['file_size_mb']):.2f}", "published", cite(vit_row), vit_row["source_locator"])
    return [
        Profile("resnet50-pytorch-t4", "ResNet-50 (timm)", IMAGE, PIXELS, "torchscript", "fp32", **_endpoint(
            convolution, rules, resnet_files, "pytorch", gpu_bytes=rules.copy_growth("resnet50-timm", "pytorch"),
            **image)),
        Profile("vit-large-pytorch-t4", "ViT-L/16", IMAGE, PIXELS, "torchscript", "fp32", **_endpoint(
            vit_saturated(data), rules, vit_files, "pytorch",
            gpu_bytes=rules.copy_growth("vit-large-patch16-224", "pytorch"),
            **{name: replace(known, note="as of resnet50-pytorch-t4: the same payload")
               for name, known in image.items()})),
        Profile("bert-base-tensorrt-t4", "BERT-base", "text encoding", TOKENS, "tensorrt", "fp16", **_endpoint(
            bert, rules, plan, "tensorrt", gpu_bytes=rules.copy_growth("bert-base-uncased", "tensorrt"), **text)),
        Profile("bert-base-pytorch-t4", "BERT-base", "text encoding", "128 tokens, binary", "torchscript", "fp32",
                **_endpoint(table([whole], "estimated", "a whole call of a SageMaker endpoint: an upper bound; "
                                  "larger batches in proportion"), rules,
                            weights(BERT_BASE_M, 4, RULES["rule-weights"]), "pytorch",
                            gpu_bytes=K("482MiB", "measured", BENCH, note="3.19 % for each further copy"),
                            overhead=K("0ms", "rule", RULES["rule-counted"]))),
    ]


def resnet_fp32(data: Data) -> Table:
    """ResNet-50 in fp32 on a T4 through cuDNN; no Triton row is published."""
    rows = data.measured(model="resnet50", framework_backend="paddle inference", precision="fp32", grade="C")
    return table(rows, "estimated", "Paddle Inference without TensorRT, a documentation table of grade C: cuDNN does "
                                    "the work there too")


def vit_saturated(data: Data) -> Table:
    """One point: the inverse of the rate at which the endpoint levels off."""
    rows = [row for row in data.measured(model="vit-large-patch16-224", framework_backend="torchscript")
            if float(row["concurrency"]) >= 100]
    rate = sum(float(row["throughput_inf_per_s"]) for row in rows) / len(rows)
    return Table(((1, 0.0, round(1e3 / rate, 2), 0.0),), "estimated", cite(rows[0]), rows[0]["source_locator"],
                 f"1 / {rate:.2f} requests/s, where the endpoint levels off from 100 users: an upper bound; larger "
                 "batches in proportion")


def resnet_profiles(data: Data, rules: Rules) -> list[Profile]:
    """ResNet-50 through three backends: one engine and one ONNX file, the payload of the multi-model benchmark."""
    cached = data.measured(model="resnet50-v1.5", framework_backend="onnxruntime+tensorrt", scenario="offline")
    engine = one(data.sizes, model="resnet50", format="tensorrt plan")
    plan = K(f"{float(engine['file_size_mb']):.2f}", "published", cite(engine), engine["source_locator"])
    zoo = one(data.sizes, model="ResNet50-v2", format="onnx")
    onnx = K(f"{float(zoo['file_size_mb']):.2f}", "published", cite(zoo), "size")
    both = K(f"{float(onnx.value) + float(plan.value):.2f}", "estimated", cite(engine), engine["source_locator"],
             "ONNX file and cached engine")
    log = one(data.loads, model="resnet50 (ONNX zoo v2)")
    image = rules.host_work("resnet50", resnet_fp32(data).at_one())
    like = {"cpu_per_item": replace(image[0], note="as of resnet50-pytorch-t4: the same payload"),
            "overhead": replace(image[1], note="as of resnet50-pytorch-t4: the same payload")}
    through_ort = replace(table(cached, "estimated"), note="the same engine run by ONNX Runtime, whole latency at the "
                                                           "client: an upper bound")
    return [
        Profile("resnet50-tensorrt-t4", "ResNet-50", IMAGE, PIXELS, "tensorrt", "fp16", **_endpoint(
            through_ort, rules, plan, "tensorrt",
            gpu_bytes=K("559MiB", "measured", BENCH, note="3.70 % for each further copy"), **like)),
        Profile("resnet50-onnx-t4", "ResNet-50 v2", IMAGE, PIXELS, "onnxruntime", "fp32", **_endpoint(
            resnet_fp32(data), rules, onnx, "onnxruntime", gpu_bytes=rules.gpu_memory("onnxruntime", onnx),
            load_time=K(f"{float(log['load_seconds']):.6f}s", "measured", cite(log), log["source_locator"],
                        "Triton's log, first model of the server"), **like)),
        served(rules, cached, "resnet50-onnxtrt-t4", "ResNet-50 v1.5", IMAGE, "3x224x224, binary", "onnxruntime", both,
               note="The engine cache is taken to be in the archive; building it at load took 155 to 208 s on a T4."),
    ]


def bert_profiles(data: Data, rules: Rules) -> list[Profile]:
    """BERT behind Triton with sequences of 384, as NVIDIA measured it."""
    def rows(model: str, backend: str) -> list[Row]:
        return data.measured(model=model, framework_backend=backend, precision="fp16", scenario="offline")

    task, what = "question answering", "384 tokens, binary"
    noted = one(data.loads, model="bert-large-uncased", gpu="T4", kind="first_inference")
    half = weights(336, 2, cite(noted), "estimated")
    engine = one(data.sizes, model="bert-large-uncased", format="tensorrt plan")
    plan = K(f"{float(engine['file_size_mb']):.2f}", "published", cite(engine), engine["source_locator"])
    context = K(mb(float(engine["gpu_mem_mb_loaded"])), "published", cite(engine), engine["source_locator"],
                f"another engine of the model, sequence 512, batch 16: {engine['gpu_mem_what']}")
    six = one(data.sizes, model="distilbert", format="onnx")
    small = weights(float(six["parameters_m"]), 2, cite(six), "estimated", "DistilBERT: 6 layers of 768 as well")
    return [
        served(rules, rows("bert-large", "tensorrt"), "bert-large-tensorrt-t4", "BERT-large", task, what, "tensorrt",
               plan, gpu_bytes=context),
        served(rules, rows("bert-large", "torchscript"), "bert-large-pytorch-t4", "BERT-large", task, what, "pytorch",
               half),
        served(rules, rows("bert-large", "onnxruntime"), "bert-large-onnx-t4", "BERT-large", task, what, "onnxruntime",
               half),
        served(rules, rows("bert-dist6l", "tensorrt"), "bert-dist6l-tensorrt-t4", "BERT distilled, 6 layers of 768",
               task, what, "tensorrt", small),
        served(rules, rows("bert-dist6l", "onnxruntime"), "bert-dist6l-onnx-t4", "BERT distilled, 6 layers of 768",
               task, what, "onnxruntime", small),
    ]


def other_profiles(data: Data, rules: Rules) -> list[Profile]:
    """Forecasting, speech, medical images, recommendation. Most of their file sizes are not published."""
    def rows(model: str, backend: str, **more: str) -> list[Row]:
        return data.measured(model=model, framework_backend=backend, **({"scenario": "offline"} | more))

    def round_figure(size_mb: int, why: str) -> K:
        return K(f"{size_mb}", "estimated", "no size is published: a round figure", note=why)

    tft = round_figure(20, "a small recurrent model of a few million parameters")
    electricity = "one series, electricity data, binary"
    speech = K(f"{333 * 2}", "estimated", "Li et al., Jasper, 2019, arXiv:1904.03288", "Jasper DR 10x5",
               "333 M parameters x 2 bytes")
    fast = rows("fastpitch", "torchscript")
    alone, pair = (one(data.measurements, model="fastpitch", gpu="T4", scenario="online", concurrency=users)
                   for users in ("1", "2"))
    share = K(0.5, "estimated", cite(pair), pair["source_locator"],
              f"two instances give {pair['throughput_inf_per_s']}/s with two requests in flight, "
              f"{alone['throughput_inf_per_s']}/s with one: neither fills the device")
    return [
        served(rules, rows("tft", "tensorrt", input_spec="dataset=electricity"), "tft-tensorrt-t4",
               "Temporal Fusion Transformer", "forecasting", electricity, "tensorrt", tft),
        served(rules, rows("tft", "torchscript", input_spec="dataset=electricity"), "tft-pytorch-t4",
               "Temporal Fusion Transformer", "forecasting", electricity, "pytorch", tft),
        served(rules, fast, "fastpitch-pytorch-t4", "FastPitch", "text to spectrogram", "128 characters, binary",
               "pytorch", round_figure(180, "about 45 million fp32 parameters"), share=share),
        served(rules, [row for row in rows("jasper-pipeline", "tensorrt", scenario="static batching",
                                           input_spec="audio=7s") if row["latency_avg_ms"]
                       and row["source_locator"] == "line 360"],
               "jasper-tensorrt-t4", "Jasper 10x5, whole pipeline", "speech to text", "7 s of audio, binary",
               "tensorrt", speech),
        served(rules, rows("nnunet-3d", "torchscript"), "nnunet-pytorch-t4", "nnU-Net, 3D", "medical segmentation",
               "4x128x128x128, binary", "pytorch", round_figure(124, "about 31 million fp32 parameters"),
               gpu_bytes=K(mb(4 * 6 * 32 * 128**3 * 2 / 1e6 + 270), "estimated", "activations of a batch",
                           note="4 volumes x 6 maps of 32 channels x 128^3 fp16 held at once, and 270 MB by the "
                                "line over weights")),
        served(rules, rows("wide-and-deep", "tensorrt"), "wide-and-deep-tensorrt-t4", "Wide & Deep",
               "recommendation", "one table row, binary", "tensorrt",
               round_figure(100, "mostly embedding tables"),
               note="A request is a batch of table rows: set workload.items to what a request holds."),
    ]


# CPU endpoints -------------------------------------------------------------------------------------

EXAMPLES = "aws/amazon-sagemaker-examples, stored notebook outputs"
LINEAR = f"{EXAMPLES} (multi_model_linear_learner)"


def cpu_profiles() -> list[Profile]:
    """Small models of the CPU multi-model examples: cold and warm calls as the client saw them, ms."""
    return [
        on_cpu("xgboost-cpu", "XGBoost, a small tree ensemble", "multi_model_xgboost", (1010, 1470), (16, 23)),
        on_cpu("sklearn-cpu", "scikit-learn pipeline", "multi_model_sklearn", (850, 1720), (128, 156)),
        on_cpu("linear-learner-cpu", "Linear learner", "multi_model_linear_learner", (1080, 1080), (36, 36)),
    ]


def on_cpu(name: str, model: str, where: str, cold_ms: tuple[int, int], warm_ms: tuple[int, int]) -> Profile:
    """Warm call = model + 5 ms front end + 1 ms host; cold call = warm + 150 ms S3 + load."""
    warm, cold = sum(warm_ms) / 2, sum(cold_ms) / 2
    source, frame = f"{EXAMPLES} ({where})", name.removesuffix("-cpu")
    tiny = K("1", "estimated", "no size is published: a round figure", note="a small tabular model")
    none = K("0B", "rule", "rule: models on a CPU share no base memory but the scenario's host_base_bytes")
    memory = K(mb(0.0063 * 16 * 1024**3 / 1e6), "measured" if frame == "linear-learner" else "estimated", LINEAR,
               "MemoryUtilization, ml.m4.xlarge", "0.63 % of 16 GiB a model, 121 models at 79 %")
    service = warm - FRONTEND_MS - 1
    latency = Table(((1, 0.0, service, 0.0),), "estimated", source, "",
                    f"warm calls of {warm_ms[0]} to {warm_ms[1]} ms less 5 ms front end and 1 ms host"
                    if warm_ms[0] < warm_ms[1] else f"median warm call {warm:g} ms less 5 ms front end and 1 ms host")
    single = "rule: one request a vCPU, without batching"
    load = K(f"{cold - warm - 150:.0f}ms", "estimated", source, "", "cold call less a warm one and 150 ms to S3")
    return Profile(name, model, "tabular prediction", "one CSV row", frame, "fp32", latency, tiny, framework=frame,
                   gpu="cpu", max_batch_size=K(1, "rule", single), instance_count=K(1, "rule", single),
                   preferred=K("[]", "rule", single), delay=K("0ms", "rule", single),
                   gpu_bytes=replace(none, source="rule: a model on a CPU takes no GPU memory"),
                   framework_base_bytes=none, load_fixed=load, load_time=load, host_bytes=memory,
                   share=K(1.0, "rule", "rule: of no meaning on a CPU"),
                   cpu_cores=K(1, "rule", single), overhead=K("0ms", "rule", "rule: the scenario's front end only"))


KEPT = {"nnunet-pytorch-t4"}
"""Told here although rows under load could be fitted: scenarios that are shipped rest on its numbers."""


def profiles(folder: Path, wanted: Callable[[Measured, bool], bool] = lambda one, fits: True) -> dict[str, str]:
    """Name -> YAML text of every profile that the data in `folder` give.

    `wanted`: of the table only these, told whether it must be fitted (seconds each) or not.
    """
    data = Data(folder)
    rules = Rules(data)
    told = {profile.name: profile for profile in t4_profiles(data, rules)}
    found = {one.name: one for one in measured(folder)
             if one.name not in KEPT and (one.is_loaded or one.name not in told)}
    texts = {one.name: written(one) for one in [*told.values(), *cpu_profiles()] if one.name not in found}
    return texts | fitted(data, rules, told, [one for one in found.values() if wanted(one, one.is_loaded)])


def main(arguments: list[str]) -> None:
    target = Path(arguments[1]) if len(arguments) > 1 else Path(__file__).parent
    for name, text in profiles(Path(arguments[0])).items():
        (target / f"{name}.yaml").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
