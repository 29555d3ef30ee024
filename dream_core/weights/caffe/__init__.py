"""Networks that come as a `.caffemodel` and its `.prototxt`, in both of Caffe's formats."""

from dream_core.weights.caffe.read import read_caffe

__all__ = ["read_caffe"]
