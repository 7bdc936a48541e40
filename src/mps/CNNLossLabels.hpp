// The object behind MPS::CNNLossLabels.
#pragma once

#include "mps/Image.hpp"
#include "mps/State.hpp"

#include <mpsvk/MPS/CNNLoss.hpp>

namespace mpsvk::MPS {

struct CNNLossLabels::Impl : State::Impl {
    using State::Impl::Impl;
    Image labels, weights, loss;
};

} // namespace mpsvk::MPS
