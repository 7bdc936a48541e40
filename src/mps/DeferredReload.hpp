// A reload of a kernel's parameters that encodes going on do not notice.
#pragma once

#include <functional>

namespace mpsvk::mps {

/// Reads the data source, in any thread, into memory of its own. What it gives is called where
/// encodes are made: those after it use that memory, those before it keep theirs.
using DeferredReload = std::function<std::function<void()>()>;

} // namespace mpsvk::mps
