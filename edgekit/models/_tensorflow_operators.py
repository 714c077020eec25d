"""The operators of TensorFlow that a classifier may hold.

They compute from tensors and from the model's own variables, and do nothing else: none reads or
writes another file, prints, opens a connection, calls Python or loads a library. What is missing is
refused by name, so a new operator of TensorFlow's is refused until somebody has looked at it.
"""

ARITHMETIC = """
Abs Acos Acosh Add AddN AddV2 AccumulateNV2 Angle ApproximateEqual Asin Asinh Atan Atan2 Atanh
BesselI0 BesselI0e BesselI1 BesselI1e Betainc BitwiseAnd BitwiseOr BitwiseXor Ceil ClipByValue
Complex ComplexAbs Conj Cos Cosh Cross Cumprod Cumsum CumulativeLogsumexp Digamma Div DivNoNan Equal
Erf Erfc Erfinv Exp Expm1 Floor FloorDiv FloorMod Greater GreaterEqual Igamma Igammac Imag Inv
Invert IsFinite IsInf IsNan LeftShift Less LessEqual Lgamma Log Log1p LogicalAnd LogicalNot
LogicalOr Maximum Minimum Mod Mul MulNoNan Ndtri Neg NextAfter NotEqual Polygamma Pow Real RealDiv
Reciprocal RightShift Rint Round Rsqrt Sigmoid Sign Sin Sinh Sqrt Square SquaredDifference Sub Tan
Tanh TruncateDiv TruncateMod Xdivy Xlog1py Xlogy Zeta
"""
REDUCTIONS = """
All Any ArgMax ArgMin Bincount Bucketize DenseBincount EuclideanNorm HistogramFixedWidth InTopK
InTopKV2 L2Loss Max Mean Min NthElement Prod SegmentMax SegmentMean SegmentMin SegmentProd
SegmentSum Sum TopK TopKV2 UnsortedSegmentMax UnsortedSegmentMin UnsortedSegmentProd
UnsortedSegmentSum
"""
MATRICES = """
BatchMatMul BatchMatMulV2 BatchMatMulV3 Cholesky Diag DiagPart Einsum MatMul MatrixBandPart
MatrixDeterminant MatrixDiag MatrixDiagPart MatrixDiagPartV2 MatrixDiagPartV3 MatrixDiagV2
MatrixDiagV3 MatrixInverse MatrixSetDiag MatrixSetDiagV2 MatrixSetDiagV3 MatrixSolve
MatrixTriangularSolve Qr SelfAdjointEigV2 Svd FFT FFT2D FFT3D IFFT IFFT2D IFFT3D IRFFT IRFFT2D RFFT
RFFT2D
"""
SHAPES = """
BatchToSpace BatchToSpaceND Bitcast BroadcastArgs BroadcastGradientArgs BroadcastTo Cast
CheckNumerics CheckNumericsV2 Concat ConcatOffset ConcatV2 Const ConjugateTranspose
DataFormatDimMap DataFormatVecPermute DeepCopy DepthToSpace DynamicPartition DynamicStitch Empty
EnsureShape ExpandDims ExtractImagePatches Fill Gather GatherNd GatherV2 Identity IdentityN
InplaceAdd InplaceSub InplaceUpdate InvertPermutation LinSpace ListDiff LowerBound
MirrorPad OneHot OnesLike Pack Pad PadV2 ParallelDynamicStitch Placeholder PlaceholderWithDefault
PreventGradient Range Rank Reshape Reverse ReverseSequence ReverseV2 Roll ScatterNd
ScatterNdNonAliasingAdd Select SelectV2 Shape ShapeN Size Slice Snapshot SpaceToBatch
SpaceToBatchND SpaceToDepth Split SplitV Squeeze StopGradient StridedSlice TensorScatterAdd
TensorScatterMax TensorScatterMin TensorScatterSub TensorScatterUpdate TensorStridedSliceUpdate
Tile Transpose Unique UniqueV2 UniqueWithCounts UniqueWithCountsV2 Unpack UnravelIndex UpperBound
Where ZerosLike
"""
LAYERS = """
AvgPool AvgPool3D BatchNormWithGlobalNormalization BiasAdd BiasAddV1 Conv Conv2D
Conv2DBackpropInput Conv2DBackpropInputV2 Conv3D Conv3DBackpropInput Conv3DBackpropInputV2
DepthwiseConv2dNative Dilation2D Elu FakeQuantWithMinMaxArgs FakeQuantWithMinMaxVars
FakeQuantWithMinMaxVarsPerChannel FractionalAvgPool FractionalMaxPool FusedBatchNorm
FusedBatchNormV2 FusedBatchNormV3 FusedPadConv2D FusedResizeAndPadConv2D LRN LeakyRelu LogSoftmax
MaxPool MaxPool3D MaxPoolV2 MaxPoolWithArgmax QuantizeAndDequantize QuantizeAndDequantizeV2
QuantizeAndDequantizeV3 QuantizeAndDequantizeV4 Relu Relu6 Selu Softmax
SoftmaxCrossEntropyWithLogits Softplus Softsign SparseSoftmaxCrossEntropyWithLogits
"""
RECURRENT = """
BlockLSTM BlockLSTMV2 CudnnRNN CudnnRNNV2 CudnnRNNV3 CudnnRNNCanonicalToParams
CudnnRNNCanonicalToParamsV2 CudnnRNNParamsSize CudnnRNNParamsToCanonical
CudnnRNNParamsToCanonicalV2 EmptyTensorList GRUBlockCell LSTMBlockCell TensorArrayCloseV3
TensorArrayConcatV3 TensorArrayGatherV3 TensorArrayGradV3 TensorArrayReadV3 TensorArrayScatterV3
TensorArraySizeV3 TensorArraySplitV3 TensorArrayV3 TensorArrayWriteV3 TensorListConcat
TensorListConcatLists TensorListConcatV2 TensorListElementShape TensorListFromTensor
TensorListGather TensorListGetItem TensorListLength TensorListPopBack TensorListPushBack
TensorListPushBackBatch TensorListReserve TensorListResize TensorListScatter
TensorListScatterIntoExistingList TensorListScatterV2 TensorListSetItem TensorListSplit
TensorListStack
"""
IMAGES = """
AdjustContrast AdjustContrastv2 AdjustHue AdjustSaturation CombinedNonMaxSuppression CropAndResize
DecodeAndCropJpeg DecodeBase64 DecodeBmp DecodeGif DecodeImage DecodeJpeg DecodePng DecodeRaw
DrawBoundingBoxes DrawBoundingBoxesV2 ExtractGlimpse ExtractGlimpseV2 ExtractJpegShape HSVToRGB
ImageProjectiveTransformV2 ImageProjectiveTransformV3 NonMaxSuppression NonMaxSuppressionV2
NonMaxSuppressionV3 NonMaxSuppressionV4 NonMaxSuppressionV5 ParseExample ParseExampleV2
ParseSingleExample RGBToHSV ResizeArea ResizeBicubic ResizeBilinear ResizeNearestNeighbor
SampleDistortedBoundingBox SampleDistortedBoundingBoxV2 ScaleAndTranslate
StatelessSampleDistortedBoundingBox
"""
RANDOM = """
Multinomial ParameterizedTruncatedNormal RandomGamma RandomGammaGrad RandomIndexShuffle
RandomPoisson RandomPoissonV2 RandomShuffle RandomStandardNormal RandomUniform RandomUniformInt
RngReadAndSkip RngSkip StatefulRandomBinomial StatefulStandardNormal StatefulStandardNormalV2
StatefulTruncatedNormal StatefulUniform StatefulUniformFullInt StatefulUniformInt
StatelessMultinomial StatelessParameterizedTruncatedNormal StatelessRandomBinomial
StatelessRandomGammaV2 StatelessRandomGammaV3 StatelessRandomGetAlg StatelessRandomGetKeyCounter
StatelessRandomGetKeyCounterAlg StatelessRandomNormal StatelessRandomNormalV2
StatelessRandomPoisson StatelessRandomUniform StatelessRandomUniformFullInt
StatelessRandomUniformFullIntV2 StatelessRandomUniformInt StatelessRandomUniformIntV2
StatelessRandomUniformV2 StatelessShuffle StatelessTruncatedNormal StatelessTruncatedNormalV2
TruncatedNormal
"""
CONTROL = """
Assert Case ControlTrigger Enter Exit FakeParam If LoopCond Merge NextIteration NoOp
PartitionedCall RefEnter RefExit RefIdentity RefMerge RefNextIteration RefSelect RefSwitch
StatefulPartitionedCall StatelessCase StatelessIf StatelessWhile Switch SymbolicGradient ToBool
While
"""
VARIABLES = """
Assign AssignAdd AssignAddVariableOp AssignSub AssignSubVariableOp AssignVariableOp
DestroyResourceOp DisableCopyOnRead HashTable HashTableV2 InitializeTable InitializeTableV2
IsVariableInitialized LookupTableFind LookupTableFindV2 LookupTableImport LookupTableImportV2
LookupTableSize LookupTableSizeV2 ReadVariableOp ResourceGather ResourceGatherNd ResourceScatterAdd
ResourceScatterDiv ResourceScatterMax ResourceScatterMin ResourceScatterMul ResourceScatterNdAdd
ResourceScatterNdSub ResourceScatterNdUpdate ResourceScatterSub ResourceScatterUpdate
ResourceStridedSliceAssign RestoreV2 ScatterAdd ScatterNdUpdate ScatterSub ScatterUpdate
StridedSliceAssign VarHandleOp VarIsInitializedOp Variable VariableShape VariableV2
"""
"""RestoreV2 reads the variables, from the model's own folder as it is loaded."""
TEXT = """
AsString ReduceJoin RegexFullMatch RegexReplace ShardedFilename StaticRegexFullMatch
StaticRegexReplace StringFormat StringJoin StringLength StringLower StringSplit StringSplitV2
StringStrip StringToHashBucket StringToHashBucketFast StringToNumber StringUpper Substr
"""
"""Names of classes and of the model's own files are put together with them."""
SPARSE = """
RaggedGather RaggedRange RaggedTensorFromVariant RaggedTensorToSparse RaggedTensorToTensor
RaggedTensorToVariant SparseConcat SparseFillEmptyRows SparseReduceSum SparseReorder SparseReshape
SparseSegmentMean SparseSegmentSum SparseSlice SparseSoftmax SparseTensorDenseMatMul SparseToDense
"""
GRADIENTS = """
AvgPool3DGrad AvgPoolGrad BiasAddGrad BlockLSTMGrad BlockLSTMGradV2 CholeskyGrad
Conv2DBackpropFilter Conv2DBackpropFilterV2 Conv3DBackpropFilter Conv3DBackpropFilterV2
CropAndResizeGradBoxes CropAndResizeGradImage CudnnRNNBackprop CudnnRNNBackpropV2
CudnnRNNBackpropV3 DepthwiseConv2dNativeBackpropFilter DepthwiseConv2dNativeBackpropInput
Dilation2DBackpropFilter Dilation2DBackpropInput EluGrad FakeQuantWithMinMaxArgsGradient
FakeQuantWithMinMaxVarsGradient FakeQuantWithMinMaxVarsPerChannelGradient FractionalAvgPoolGrad
FractionalMaxPoolGrad FusedBatchNormGrad FusedBatchNormGradV2 FusedBatchNormGradV3
GRUBlockCellGrad IgammaGradA InvGrad LRNGrad LSTMBlockCellGrad LeakyReluGrad MaxPool3DGrad
MaxPool3DGradGrad MaxPoolGrad MaxPoolGradGrad MaxPoolGradGradV2 MaxPoolGradV2
MaxPoolGradWithArgmax MirrorPadGrad QuantizeAndDequantizeV4Grad ReciprocalGrad Relu6Grad ReluGrad
ResizeBicubicGrad ResizeBilinearGrad ResizeNearestNeighborGrad RsqrtGrad ScaleAndTranslateGrad
SeluGrad SigmoidGrad SoftplusGrad SoftsignGrad SparseFillEmptyRowsGrad SqrtGrad StridedSliceGrad
TanhGrad TileGrad
"""
"""Models that were saved with the functions of their training hold these too."""
ALLOWED = frozenset(
    name
    for group in (
        ARITHMETIC,
        REDUCTIONS,
        MATRICES,
        SHAPES,
        LAYERS,
        RECURRENT,
        IMAGES,
        RANDOM,
        CONTROL,
        VARIABLES,
        TEXT,
        SPARSE,
        GRADIENTS,
    )
    for name in group.split()
)
