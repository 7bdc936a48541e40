// MPSNNGraphNodes: every node class.
#pragma once

#include <mpsvk/MPS/NNArithmeticNodes.hpp>
#include <mpsvk/MPS/NNBatchNormalizationNodes.hpp>
#include <mpsvk/MPS/NNConvolutionNodes.hpp>
#include <mpsvk/MPS/NNGraphNodeBases.hpp>
#include <mpsvk/MPS/NNGroupwiseNormalizationNodes.hpp>
#include <mpsvk/MPS/NNLayerNodes.hpp>
#include <mpsvk/MPS/NNLocalNormalizationNodes.hpp>
#include <mpsvk/MPS/NNLossNodes.hpp>
#include <mpsvk/MPS/NNNeuronNodes.hpp>
#include <mpsvk/MPS/NNPoolingNodes.hpp>
#include <mpsvk/MPS/NNReductionNodes.hpp>
#include <mpsvk/MPS/NNScaleNodes.hpp>
#include <mpsvk/MPS/NNShapeNodes.hpp>
#include <mpsvk/MPS/NNUpsamplingNodes.hpp>
