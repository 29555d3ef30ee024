from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Phase(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TRAIN: _ClassVar[Phase]
    TEST: _ClassVar[Phase]
TRAIN: Phase
TEST: Phase

class Net(_message.Message):
    __slots__ = ("name", "layers", "input", "input_dim", "input_shape", "layer")
    NAME_FIELD_NUMBER: _ClassVar[int]
    LAYERS_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    INPUT_DIM_FIELD_NUMBER: _ClassVar[int]
    INPUT_SHAPE_FIELD_NUMBER: _ClassVar[int]
    LAYER_FIELD_NUMBER: _ClassVar[int]
    name: str
    layers: _containers.RepeatedCompositeFieldContainer[V1Layer]
    input: _containers.RepeatedScalarFieldContainer[str]
    input_dim: _containers.RepeatedScalarFieldContainer[int]
    input_shape: _containers.RepeatedCompositeFieldContainer[Shape]
    layer: _containers.RepeatedCompositeFieldContainer[Layer]
    def __init__(self, name: _Optional[str] = ..., layers: _Optional[_Iterable[_Union[V1Layer, _Mapping]]] = ..., input: _Optional[_Iterable[str]] = ..., input_dim: _Optional[_Iterable[int]] = ..., input_shape: _Optional[_Iterable[_Union[Shape, _Mapping]]] = ..., layer: _Optional[_Iterable[_Union[Layer, _Mapping]]] = ...) -> None: ...

class Shape(_message.Message):
    __slots__ = ("dim",)
    DIM_FIELD_NUMBER: _ClassVar[int]
    dim: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, dim: _Optional[_Iterable[int]] = ...) -> None: ...

class Blob(_message.Message):
    __slots__ = ("num", "channels", "height", "width", "data", "shape", "double_data")
    NUM_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    DOUBLE_DATA_FIELD_NUMBER: _ClassVar[int]
    num: int
    channels: int
    height: int
    width: int
    data: _containers.RepeatedScalarFieldContainer[float]
    shape: Shape
    double_data: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, num: _Optional[int] = ..., channels: _Optional[int] = ..., height: _Optional[int] = ..., width: _Optional[int] = ..., data: _Optional[_Iterable[float]] = ..., shape: _Optional[_Union[Shape, _Mapping]] = ..., double_data: _Optional[_Iterable[float]] = ...) -> None: ...

class Rule(_message.Message):
    __slots__ = ("phase", "min_level", "max_level", "stage", "not_stage")
    PHASE_FIELD_NUMBER: _ClassVar[int]
    MIN_LEVEL_FIELD_NUMBER: _ClassVar[int]
    MAX_LEVEL_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    NOT_STAGE_FIELD_NUMBER: _ClassVar[int]
    phase: Phase
    min_level: int
    max_level: int
    stage: _containers.RepeatedScalarFieldContainer[str]
    not_stage: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, phase: _Optional[_Union[Phase, str]] = ..., min_level: _Optional[int] = ..., max_level: _Optional[int] = ..., stage: _Optional[_Iterable[str]] = ..., not_stage: _Optional[_Iterable[str]] = ...) -> None: ...

class Layer(_message.Message):
    __slots__ = ("name", "type", "bottom", "top", "blobs", "include", "exclude", "phase", "concat_param", "convolution_param", "eltwise_param", "lrn_param", "pooling_param", "relu_param", "batch_norm_param", "scale_param", "input_param")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    BOTTOM_FIELD_NUMBER: _ClassVar[int]
    TOP_FIELD_NUMBER: _ClassVar[int]
    BLOBS_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_FIELD_NUMBER: _ClassVar[int]
    EXCLUDE_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    CONCAT_PARAM_FIELD_NUMBER: _ClassVar[int]
    CONVOLUTION_PARAM_FIELD_NUMBER: _ClassVar[int]
    ELTWISE_PARAM_FIELD_NUMBER: _ClassVar[int]
    LRN_PARAM_FIELD_NUMBER: _ClassVar[int]
    POOLING_PARAM_FIELD_NUMBER: _ClassVar[int]
    RELU_PARAM_FIELD_NUMBER: _ClassVar[int]
    BATCH_NORM_PARAM_FIELD_NUMBER: _ClassVar[int]
    SCALE_PARAM_FIELD_NUMBER: _ClassVar[int]
    INPUT_PARAM_FIELD_NUMBER: _ClassVar[int]
    name: str
    type: str
    bottom: _containers.RepeatedScalarFieldContainer[str]
    top: _containers.RepeatedScalarFieldContainer[str]
    blobs: _containers.RepeatedCompositeFieldContainer[Blob]
    include: _containers.RepeatedCompositeFieldContainer[Rule]
    exclude: _containers.RepeatedCompositeFieldContainer[Rule]
    phase: Phase
    concat_param: Concat
    convolution_param: Convolution
    eltwise_param: Eltwise
    lrn_param: LocalResponseNorm
    pooling_param: Pooling
    relu_param: ReLU
    batch_norm_param: BatchNorm
    scale_param: Scale
    input_param: Input
    def __init__(self, name: _Optional[str] = ..., type: _Optional[str] = ..., bottom: _Optional[_Iterable[str]] = ..., top: _Optional[_Iterable[str]] = ..., blobs: _Optional[_Iterable[_Union[Blob, _Mapping]]] = ..., include: _Optional[_Iterable[_Union[Rule, _Mapping]]] = ..., exclude: _Optional[_Iterable[_Union[Rule, _Mapping]]] = ..., phase: _Optional[_Union[Phase, str]] = ..., concat_param: _Optional[_Union[Concat, _Mapping]] = ..., convolution_param: _Optional[_Union[Convolution, _Mapping]] = ..., eltwise_param: _Optional[_Union[Eltwise, _Mapping]] = ..., lrn_param: _Optional[_Union[LocalResponseNorm, _Mapping]] = ..., pooling_param: _Optional[_Union[Pooling, _Mapping]] = ..., relu_param: _Optional[_Union[ReLU, _Mapping]] = ..., batch_norm_param: _Optional[_Union[BatchNorm, _Mapping]] = ..., scale_param: _Optional[_Union[Scale, _Mapping]] = ..., input_param: _Optional[_Union[Input, _Mapping]] = ...) -> None: ...

class V1Layer(_message.Message):
    __slots__ = ("bottom", "top", "name", "type", "blobs", "concat_param", "convolution_param", "lrn_param", "pooling_param", "eltwise_param", "relu_param", "include", "exclude")
    class Type(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        NONE: _ClassVar[V1Layer.Type]
        ACCURACY: _ClassVar[V1Layer.Type]
        BNLL: _ClassVar[V1Layer.Type]
        CONCAT: _ClassVar[V1Layer.Type]
        CONVOLUTION: _ClassVar[V1Layer.Type]
        DATA: _ClassVar[V1Layer.Type]
        DROPOUT: _ClassVar[V1Layer.Type]
        EUCLIDEAN_LOSS: _ClassVar[V1Layer.Type]
        FLATTEN: _ClassVar[V1Layer.Type]
        HDF5_DATA: _ClassVar[V1Layer.Type]
        HDF5_OUTPUT: _ClassVar[V1Layer.Type]
        IM2COL: _ClassVar[V1Layer.Type]
        IMAGE_DATA: _ClassVar[V1Layer.Type]
        INFOGAIN_LOSS: _ClassVar[V1Layer.Type]
        INNER_PRODUCT: _ClassVar[V1Layer.Type]
        LRN: _ClassVar[V1Layer.Type]
        MULTINOMIAL_LOGISTIC_LOSS: _ClassVar[V1Layer.Type]
        POOLING: _ClassVar[V1Layer.Type]
        RELU: _ClassVar[V1Layer.Type]
        SIGMOID: _ClassVar[V1Layer.Type]
        SOFTMAX: _ClassVar[V1Layer.Type]
        SOFTMAX_LOSS: _ClassVar[V1Layer.Type]
        SPLIT: _ClassVar[V1Layer.Type]
        TANH: _ClassVar[V1Layer.Type]
        WINDOW_DATA: _ClassVar[V1Layer.Type]
        ELTWISE: _ClassVar[V1Layer.Type]
        POWER: _ClassVar[V1Layer.Type]
        SIGMOID_CROSS_ENTROPY_LOSS: _ClassVar[V1Layer.Type]
        HINGE_LOSS: _ClassVar[V1Layer.Type]
        MEMORY_DATA: _ClassVar[V1Layer.Type]
        ARGMAX: _ClassVar[V1Layer.Type]
        THRESHOLD: _ClassVar[V1Layer.Type]
        DUMMY_DATA: _ClassVar[V1Layer.Type]
        SLICE: _ClassVar[V1Layer.Type]
        MVN: _ClassVar[V1Layer.Type]
        ABSVAL: _ClassVar[V1Layer.Type]
        SILENCE: _ClassVar[V1Layer.Type]
        CONTRASTIVE_LOSS: _ClassVar[V1Layer.Type]
        EXP: _ClassVar[V1Layer.Type]
        DECONVOLUTION: _ClassVar[V1Layer.Type]
    NONE: V1Layer.Type
    ACCURACY: V1Layer.Type
    BNLL: V1Layer.Type
    CONCAT: V1Layer.Type
    CONVOLUTION: V1Layer.Type
    DATA: V1Layer.Type
    DROPOUT: V1Layer.Type
    EUCLIDEAN_LOSS: V1Layer.Type
    FLATTEN: V1Layer.Type
    HDF5_DATA: V1Layer.Type
    HDF5_OUTPUT: V1Layer.Type
    IM2COL: V1Layer.Type
    IMAGE_DATA: V1Layer.Type
    INFOGAIN_LOSS: V1Layer.Type
    INNER_PRODUCT: V1Layer.Type
    LRN: V1Layer.Type
    MULTINOMIAL_LOGISTIC_LOSS: V1Layer.Type
    POOLING: V1Layer.Type
    RELU: V1Layer.Type
    SIGMOID: V1Layer.Type
    SOFTMAX: V1Layer.Type
    SOFTMAX_LOSS: V1Layer.Type
    SPLIT: V1Layer.Type
    TANH: V1Layer.Type
    WINDOW_DATA: V1Layer.Type
    ELTWISE: V1Layer.Type
    POWER: V1Layer.Type
    SIGMOID_CROSS_ENTROPY_LOSS: V1Layer.Type
    HINGE_LOSS: V1Layer.Type
    MEMORY_DATA: V1Layer.Type
    ARGMAX: V1Layer.Type
    THRESHOLD: V1Layer.Type
    DUMMY_DATA: V1Layer.Type
    SLICE: V1Layer.Type
    MVN: V1Layer.Type
    ABSVAL: V1Layer.Type
    SILENCE: V1Layer.Type
    CONTRASTIVE_LOSS: V1Layer.Type
    EXP: V1Layer.Type
    DECONVOLUTION: V1Layer.Type
    BOTTOM_FIELD_NUMBER: _ClassVar[int]
    TOP_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    BLOBS_FIELD_NUMBER: _ClassVar[int]
    CONCAT_PARAM_FIELD_NUMBER: _ClassVar[int]
    CONVOLUTION_PARAM_FIELD_NUMBER: _ClassVar[int]
    LRN_PARAM_FIELD_NUMBER: _ClassVar[int]
    POOLING_PARAM_FIELD_NUMBER: _ClassVar[int]
    ELTWISE_PARAM_FIELD_NUMBER: _ClassVar[int]
    RELU_PARAM_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_FIELD_NUMBER: _ClassVar[int]
    EXCLUDE_FIELD_NUMBER: _ClassVar[int]
    bottom: _containers.RepeatedScalarFieldContainer[str]
    top: _containers.RepeatedScalarFieldContainer[str]
    name: str
    type: V1Layer.Type
    blobs: _containers.RepeatedCompositeFieldContainer[Blob]
    concat_param: Concat
    convolution_param: Convolution
    lrn_param: LocalResponseNorm
    pooling_param: Pooling
    eltwise_param: Eltwise
    relu_param: ReLU
    include: _containers.RepeatedCompositeFieldContainer[Rule]
    exclude: _containers.RepeatedCompositeFieldContainer[Rule]
    def __init__(self, bottom: _Optional[_Iterable[str]] = ..., top: _Optional[_Iterable[str]] = ..., name: _Optional[str] = ..., type: _Optional[_Union[V1Layer.Type, str]] = ..., blobs: _Optional[_Iterable[_Union[Blob, _Mapping]]] = ..., concat_param: _Optional[_Union[Concat, _Mapping]] = ..., convolution_param: _Optional[_Union[Convolution, _Mapping]] = ..., lrn_param: _Optional[_Union[LocalResponseNorm, _Mapping]] = ..., pooling_param: _Optional[_Union[Pooling, _Mapping]] = ..., eltwise_param: _Optional[_Union[Eltwise, _Mapping]] = ..., relu_param: _Optional[_Union[ReLU, _Mapping]] = ..., include: _Optional[_Iterable[_Union[Rule, _Mapping]]] = ..., exclude: _Optional[_Iterable[_Union[Rule, _Mapping]]] = ...) -> None: ...

class Convolution(_message.Message):
    __slots__ = ("num_output", "bias_term", "pad", "kernel_size", "group", "stride", "pad_h", "pad_w", "kernel_h", "kernel_w", "stride_h", "stride_w", "axis", "dilation")
    NUM_OUTPUT_FIELD_NUMBER: _ClassVar[int]
    BIAS_TERM_FIELD_NUMBER: _ClassVar[int]
    PAD_FIELD_NUMBER: _ClassVar[int]
    KERNEL_SIZE_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    STRIDE_FIELD_NUMBER: _ClassVar[int]
    PAD_H_FIELD_NUMBER: _ClassVar[int]
    PAD_W_FIELD_NUMBER: _ClassVar[int]
    KERNEL_H_FIELD_NUMBER: _ClassVar[int]
    KERNEL_W_FIELD_NUMBER: _ClassVar[int]
    STRIDE_H_FIELD_NUMBER: _ClassVar[int]
    STRIDE_W_FIELD_NUMBER: _ClassVar[int]
    AXIS_FIELD_NUMBER: _ClassVar[int]
    DILATION_FIELD_NUMBER: _ClassVar[int]
    num_output: int
    bias_term: bool
    pad: _containers.RepeatedScalarFieldContainer[int]
    kernel_size: _containers.RepeatedScalarFieldContainer[int]
    group: int
    stride: _containers.RepeatedScalarFieldContainer[int]
    pad_h: int
    pad_w: int
    kernel_h: int
    kernel_w: int
    stride_h: int
    stride_w: int
    axis: int
    dilation: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, num_output: _Optional[int] = ..., bias_term: _Optional[bool] = ..., pad: _Optional[_Iterable[int]] = ..., kernel_size: _Optional[_Iterable[int]] = ..., group: _Optional[int] = ..., stride: _Optional[_Iterable[int]] = ..., pad_h: _Optional[int] = ..., pad_w: _Optional[int] = ..., kernel_h: _Optional[int] = ..., kernel_w: _Optional[int] = ..., stride_h: _Optional[int] = ..., stride_w: _Optional[int] = ..., axis: _Optional[int] = ..., dilation: _Optional[_Iterable[int]] = ...) -> None: ...

class Pooling(_message.Message):
    __slots__ = ("pool", "kernel_size", "stride", "pad", "kernel_h", "kernel_w", "stride_h", "stride_w", "pad_h", "pad_w", "global_pooling", "round_mode")
    class Method(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        MAX: _ClassVar[Pooling.Method]
        AVE: _ClassVar[Pooling.Method]
        STOCHASTIC: _ClassVar[Pooling.Method]
    MAX: Pooling.Method
    AVE: Pooling.Method
    STOCHASTIC: Pooling.Method
    class Rounding(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        CEIL: _ClassVar[Pooling.Rounding]
        FLOOR: _ClassVar[Pooling.Rounding]
    CEIL: Pooling.Rounding
    FLOOR: Pooling.Rounding
    POOL_FIELD_NUMBER: _ClassVar[int]
    KERNEL_SIZE_FIELD_NUMBER: _ClassVar[int]
    STRIDE_FIELD_NUMBER: _ClassVar[int]
    PAD_FIELD_NUMBER: _ClassVar[int]
    KERNEL_H_FIELD_NUMBER: _ClassVar[int]
    KERNEL_W_FIELD_NUMBER: _ClassVar[int]
    STRIDE_H_FIELD_NUMBER: _ClassVar[int]
    STRIDE_W_FIELD_NUMBER: _ClassVar[int]
    PAD_H_FIELD_NUMBER: _ClassVar[int]
    PAD_W_FIELD_NUMBER: _ClassVar[int]
    GLOBAL_POOLING_FIELD_NUMBER: _ClassVar[int]
    ROUND_MODE_FIELD_NUMBER: _ClassVar[int]
    pool: Pooling.Method
    kernel_size: int
    stride: int
    pad: int
    kernel_h: int
    kernel_w: int
    stride_h: int
    stride_w: int
    pad_h: int
    pad_w: int
    global_pooling: bool
    round_mode: Pooling.Rounding
    def __init__(self, pool: _Optional[_Union[Pooling.Method, str]] = ..., kernel_size: _Optional[int] = ..., stride: _Optional[int] = ..., pad: _Optional[int] = ..., kernel_h: _Optional[int] = ..., kernel_w: _Optional[int] = ..., stride_h: _Optional[int] = ..., stride_w: _Optional[int] = ..., pad_h: _Optional[int] = ..., pad_w: _Optional[int] = ..., global_pooling: _Optional[bool] = ..., round_mode: _Optional[_Union[Pooling.Rounding, str]] = ...) -> None: ...

class Concat(_message.Message):
    __slots__ = ("concat_dim", "axis")
    CONCAT_DIM_FIELD_NUMBER: _ClassVar[int]
    AXIS_FIELD_NUMBER: _ClassVar[int]
    concat_dim: int
    axis: int
    def __init__(self, concat_dim: _Optional[int] = ..., axis: _Optional[int] = ...) -> None: ...

class Eltwise(_message.Message):
    __slots__ = ("operation", "coeff")
    class Operation(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        PROD: _ClassVar[Eltwise.Operation]
        SUM: _ClassVar[Eltwise.Operation]
        MAX: _ClassVar[Eltwise.Operation]
    PROD: Eltwise.Operation
    SUM: Eltwise.Operation
    MAX: Eltwise.Operation
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    COEFF_FIELD_NUMBER: _ClassVar[int]
    operation: Eltwise.Operation
    coeff: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, operation: _Optional[_Union[Eltwise.Operation, str]] = ..., coeff: _Optional[_Iterable[float]] = ...) -> None: ...

class LocalResponseNorm(_message.Message):
    __slots__ = ("local_size", "alpha", "beta", "norm_region", "k")
    class Region(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        ACROSS_CHANNELS: _ClassVar[LocalResponseNorm.Region]
        WITHIN_CHANNEL: _ClassVar[LocalResponseNorm.Region]
    ACROSS_CHANNELS: LocalResponseNorm.Region
    WITHIN_CHANNEL: LocalResponseNorm.Region
    LOCAL_SIZE_FIELD_NUMBER: _ClassVar[int]
    ALPHA_FIELD_NUMBER: _ClassVar[int]
    BETA_FIELD_NUMBER: _ClassVar[int]
    NORM_REGION_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    local_size: int
    alpha: float
    beta: float
    norm_region: LocalResponseNorm.Region
    k: float
    def __init__(self, local_size: _Optional[int] = ..., alpha: _Optional[float] = ..., beta: _Optional[float] = ..., norm_region: _Optional[_Union[LocalResponseNorm.Region, str]] = ..., k: _Optional[float] = ...) -> None: ...

class ReLU(_message.Message):
    __slots__ = ("negative_slope",)
    NEGATIVE_SLOPE_FIELD_NUMBER: _ClassVar[int]
    negative_slope: float
    def __init__(self, negative_slope: _Optional[float] = ...) -> None: ...

class BatchNorm(_message.Message):
    __slots__ = ("eps",)
    EPS_FIELD_NUMBER: _ClassVar[int]
    eps: float
    def __init__(self, eps: _Optional[float] = ...) -> None: ...

class Scale(_message.Message):
    __slots__ = ("axis", "num_axes", "bias_term")
    AXIS_FIELD_NUMBER: _ClassVar[int]
    NUM_AXES_FIELD_NUMBER: _ClassVar[int]
    BIAS_TERM_FIELD_NUMBER: _ClassVar[int]
    axis: int
    num_axes: int
    bias_term: bool
    def __init__(self, axis: _Optional[int] = ..., num_axes: _Optional[int] = ..., bias_term: _Optional[bool] = ...) -> None: ...

class Input(_message.Message):
    __slots__ = ("shape",)
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    shape: _containers.RepeatedCompositeFieldContainer[Shape]
    def __init__(self, shape: _Optional[_Iterable[_Union[Shape, _Mapping]]] = ...) -> None: ...
