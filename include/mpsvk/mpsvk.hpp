// All of mpsvk: the training half of Apple's Metal Performance Shaders, on Vulkan compute.
// Not Apple's: their names say what is compatible.
#pragma once

#include <mpsvk/Error.hpp>
#include <mpsvk/MPS/CNNDropout.hpp>
#include <mpsvk/MPS/CNNKernel.hpp>
#include <mpsvk/MPS/CNNLoss.hpp>
#include <mpsvk/MPS/CNNMath.hpp>
#include <mpsvk/MPS/CNNNeuron.hpp>
#include <mpsvk/MPS/CNNPooling.hpp>
#include <mpsvk/MPS/CNNSoftMax.hpp>
#include <mpsvk/MPS/CoreTypes.hpp>
#include <mpsvk/MPS/Image.hpp>
#include <mpsvk/MPS/Kernel.hpp>
#include <mpsvk/MPS/Matrix.hpp>
#include <mpsvk/MPS/NNGradientState.hpp>
#include <mpsvk/MPS/NNOptimizer.hpp>
#include <mpsvk/MPS/NNPadding.hpp>
#include <mpsvk/MPS/State.hpp>
#include <mpsvk/MTL/BlitCommandEncoder.hpp>
#include <mpsvk/MTL/Buffer.hpp>
#include <mpsvk/MTL/CommandBuffer.hpp>
#include <mpsvk/MTL/CommandEncoder.hpp>
#include <mpsvk/MTL/CommandQueue.hpp>
#include <mpsvk/MTL/ComputeCommandEncoder.hpp>
#include <mpsvk/MTL/ComputePipeline.hpp>
#include <mpsvk/MTL/Device.hpp>
#include <mpsvk/MTL/Event.hpp>
#include <mpsvk/MTL/Heap.hpp>
#include <mpsvk/MTL/Library.hpp>
#include <mpsvk/MTL/Resource.hpp>
#include <mpsvk/MTL/Texture.hpp>
#include <mpsvk/MTL/Types.hpp>
