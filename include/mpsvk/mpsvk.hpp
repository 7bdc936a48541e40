// All of mpsvk: the training half of Apple's Metal Performance Shaders, on Vulkan compute.
// Not Apple's: their names say what is compatible.
#pragma once

#include <mpsvk/Error.hpp>
#include <mpsvk/MPS/CNNKernel.hpp>
#include <mpsvk/MPS/CNNNeuron.hpp>
#include <mpsvk/MPS/CoreTypes.hpp>
#include <mpsvk/MPS/Image.hpp>
#include <mpsvk/MPS/Kernel.hpp>
#include <mpsvk/MPS/NNGradientState.hpp>
#include <mpsvk/MPS/NNPadding.hpp>
#include <mpsvk/MPS/State.hpp>
#include <mpsvk/MTL/Buffer.hpp>
#include <mpsvk/MTL/CommandBuffer.hpp>
#include <mpsvk/MTL/CommandQueue.hpp>
#include <mpsvk/MTL/Device.hpp>
#include <mpsvk/MTL/Event.hpp>
#include <mpsvk/MTL/Texture.hpp>
