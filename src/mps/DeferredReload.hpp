// A reload of a kernel's parameters that encodes going on do not notice.
#pragma once

#include <functional>

namespace mpsvk::MPS {
class CNNBatchNormalization;
class CNNGroupwiseNormalization;
} // namespace mpsvk::MPS

namespace mpsvk::mps {

/// Reads the data source, in any thread, into memory of its own. What it gives is called where
/// encodes are made: those after it use that memory, those before it keep theirs.
using DeferredReload = std::function<std::function<void()>()>;

/// For the kernel as it is now, which must be there when the second part is called.
struct NormalizationReload {
    static DeferredReload of(MPS::CNNBatchNormalization& kernel);
    static DeferredReload of(MPS::CNNGroupwiseNormalization& kernel);
};

} // namespace mpsvk::mps
