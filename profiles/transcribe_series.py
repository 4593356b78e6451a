"""What is transcribed beyond the models told one by one: a table of models, and names by rule.

A profile is called ``MODEL-BACKEND[-PRECISION]-GPU``; fp16, in which most was measured, is left out.
"""

from __future__ import annotations

from dataclasses import dataclass

from transcribe_data import Row

GPUS = ("T4", "V100", "A100", "A30", "L4", "A10G", "L40S", "H100")
"""The GPUs of SageMaker's instances, and the A30, which many models were measured on."""
BACKENDS = {"torchscript": "pytorch", "pytorch": "pytorch", "tensorrt": "tensorrt", "onnxruntime": "onnx",
            "onnxruntime+tensorrt": "onnxtrt", "tf+tensorrt (TF-TRT)": "tftrt", "tf savedmodel": "tf",
            "tf savedmodel+tensorrt (ensemble)": "tf-tensorrt", "hps+tensorrt (ensemble)": "hps-tensorrt"}
"""Backend in the data -> in a profile's name. Others (custom ones) are not transcribed."""
FRAMEWORKS = {"torchscript": "pytorch", "pytorch": "pytorch", "tensorrt": "tensorrt", "onnxruntime": "onnxruntime",
              "onnxruntime+tensorrt": "onnxruntime"}
"""Backend -> the framework whose memory and loading are known; TensorFlow's are not."""
WIDTH = {"fp32": 4, "fp16": 2, "int8": 1}
USUAL = "fp16"
SQUAD, TOKENS = "question answering", "{} tokens, binary"
VISION, PIXELS, CLICKS = "image classification", "3x224x224, binary", "recommendation"


@dataclass(frozen=True)
class Series:
    """One model with one kind of input, on all backends and GPUs it was measured on."""

    model: str
    """As in the data."""
    slug: str
    title: str
    task: str
    item: str
    input: str = ""
    """As in the data."""
    weights: str = ""
    """Whose parameters are counted (`transcribe_sizes.parameters`); empty: no size is published."""


def _bert(model: str, slug: str, title: str, usual: int, weights: str = "") -> tuple[Series, ...]:
    """A BERT at both sequence lengths; the usual one has no mark in the name."""
    return tuple(Series(model, slug if length == usual else f"{slug}-{length}", title, SQUAD, TOKENS.format(length),
                        f"seqlen={length}", weights) for length in (128, 384))


def _rows(model: str, slug: str, title: str, spec: str) -> Series:
    return Series(model, slug, title, CLICKS, "one table row, binary", spec)


SERIES = (
    *_bert("bert-base", "bert-base", "BERT-base", 128, "bert-base"),
    *_bert("bert-large", "bert-large", "BERT-large", 384, "bert-large"),
    *_bert("megatron-bert-large-sparse", "megatron-bert-large", "Megatron BERT-large, sparse", 384, "bert-large"),
    *_bert("bert-dist6l", "bert-dist6l", "BERT distilled, 6 layers of 768", 384, "distilbert"),
    *_bert("bert-dist4l", "bert-dist4l", "BERT distilled, 4 layers", 384),
    Series("resnet50-v1.5", "resnet50", "ResNet-50 v1.5", VISION, PIXELS, "", "resnet50"),
    Series("resnet50-v1.5", "resnet50", "ResNet-50 v1.5", VISION, PIXELS, "224x224", "resnet50"),
    *(Series(f"gpunet-{name}", f"gpunet-{name.partition('-')[0]}", f"GPUNet-{name.partition('-')[0].upper()}", VISION,
             "one image, binary")
      for name in ("0-0.65ms", "2-1.75ms", "d1-0.5ms", "d2-1.25ms", "d3-2.25ms", "p0-0.8ms")),
    Series("tft", "tft", "Temporal Fusion Transformer", "forecasting", "one series, electricity data, binary",
           "dataset=electricity"),
    Series("tft", "tft-traffic", "Temporal Fusion Transformer", "forecasting", "one series, traffic data, binary",
           "dataset=traffic"),
    Series("fastpitch", "fastpitch", "FastPitch", "text to spectrogram", "128 characters, binary", "seqlen=128"),
    *(Series("jasper-pipeline", f"jasper{mark}", "Jasper 10x5, whole pipeline", "speech to text",
             f"{length} of audio, binary", f"audio={length}")
      for length, mark in (("2s", "-2s"), ("7s", ""), ("16.7s", "-17s"))),
    Series("nnunet-3d", "nnunet", "nnU-Net, 3D", "medical segmentation", "4x128x128x128, binary",
           "input=4x128x128x128"),
    _rows("wide-and-deep", "wide-and-deep", "Wide & Deep", ""),
    _rows("dlrm", "dlrm", "DLRM", ""),
    _rows("dlrm-tf2-4b", "dlrm-4b", "DLRM, 4 G parameters", "arch=DLRM; size=4B parameters"),
    _rows("dlrm-tf2-22b", "dlrm-22b", "DLRM, 22 G parameters", "arch=DLRM; size=22B parameters"),
    _rows("dcnv2-4b", "dcnv2-4b", "DCNv2, 4 G parameters", "arch=DCNv2; size=4B parameters"),
    _rows("dcnv2-22b", "dcnv2-22b", "DCNv2, 22 G parameters", "arch=DCNv2; size=22B parameters"),
    Series("yolov8s-320", "yolov8s-320", "YOLOv8s", "object detection", "3x320x320", "3x320x320"),
    Series("3d-unet", "3d-unet", "3D U-Net", "medical segmentation", "one volume, BraTS 2019"),
    Series("rnn-t", "rnn-t", "RNN-T", "speech to text", "one utterance, LibriSpeech", "librispeech dev-clean"),
    Series("retinanet-resnext50", "retinanet", "RetinaNet, ResNeXt-50", "object detection", "800x800", "800x800"),
    Series("ssd-mobilenet-v1", "ssd-mobilenet", "SSD, MobileNet v1", "object detection", "300x300", "300x300"),
    Series("ssd-resnet34", "ssd-resnet34", "SSD, ResNet-34", "object detection", "1200x1200", "1200x1200"),
)
BY_ROW = {(series.model, series.input): series for series in SERIES}
NOT_THIS = {("3d-unet", "mlperf v3.0")}
"""MLPerf's 3D U-Net reads other volumes (KiTS 2019) since version 2.0."""


def series_of(row: Row) -> Series | None:
    """The series a row belongs to; None if it is not transcribed."""
    known = row["framework_backend"] in BACKENDS and row["gpu"] in GPUS and row["grade"] in ("A", "B")
    version = " ".join(row["scenario"].split()[:2])
    alone = row["gpu_count"] in ("", "1") and (row["model"], version) not in NOT_THIS
    return BY_ROW.get((row["model"], row["input_spec"])) if known and alone else None


def name_of(series: Series, row: Row) -> str:
    """What the profile is called."""
    precision = "" if row["precision"] in ("", USUAL) else row["precision"].replace(",", "-")
    return "-".join(filter(None, (series.slug, BACKENDS[row["framework_backend"]], precision, row["gpu"].lower())))
