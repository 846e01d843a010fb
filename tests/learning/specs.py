"""Descriptions of the models under test."""

from titand.records import ModelSpec, TensorSpec

CIFAR, SPEECH, MOTION, DIGITS = (3, 32, 32), (1, 40, 98), (900,), (1, 8, 8)
IMAGE_ARCHITECTURES = ("digits_cnn", "alexnet", "mobilenet_v1", "squeezenet", "resnet34", "resnet50")


def spec_of(architecture, shape, class_count=10, data_type="float32", **options):
    labels = tuple(f"class {i}" for i in range(class_count))
    return ModelSpec(architecture, TensorSpec(data_type, shape), labels, options=options)
