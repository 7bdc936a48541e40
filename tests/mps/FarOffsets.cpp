// Offsets that leave nothing of an image: no kernel reads what lies elsewhere in its place.
#include "support/EveryKernel.hpp"

#include <mpsvk/Error.hpp>

#include <catch2/catch_test_macros.hpp>

#include <bit>
#include <optional>

using namespace mpsvk;
using namespace mpsvk::test;
using reference::Tensor;

namespace {

constexpr int64_t away = 1 << 20;
const MPS::Offset offsets[] = {{away, 0, 0}, {-away, 0, 0}, {0, away, 0}, {away, -away, 0}};

/// Whether a class says that it reads its image wherever the offset lies: the whole of it, or the
/// nearest pixels.
bool readsAnyhow(const std::string& name) {
    const auto is = [&](const char* part) { return name.find(part) != name.npos; };
    return is("FullyConnected") || is("GroupNormalization") || is("InstanceNormalization") ||
           is("NNReduce") || is("Bilinear") || is("Lanczos");
}

/// The bits that an encode leaves in a destination; nothing where it is refused.
template <class Encode>
std::optional<std::vector<uint64_t>> bitsOf(const MPS::ImageDescriptor& d, Encode encode) {
    const Guarded y(2, d.height(), d.width(), d.featureChannels());
    bool isRefused = false;
    run([&](const MTL::CommandBuffer& commands) {
        try {
            encode(commands, y.images());
        } catch (const InvalidArgument&) {
            isRefused = true;
        }
    });
    if (isRefused) return {};
    std::vector<uint64_t> bits;
    for (const double v : y.read().v) bits.push_back(std::bit_cast<uint64_t>(v));
    return bits;
}

} // namespace

TEST_CASE("forward kernels whose offset leaves nothing of the source do not depend on it") {
    for (const EveryKernel& each : everyClass<EveryKernel>()) {
        const auto kernel = each.kernel.make();
        INFO(kernel->className());
        const auto& size = each.source;
        const MPS::ImageBatch x = upload(Tensor(2, size.height, size.width, size.depth, 1.0)),
                              other = upload(Tensor(2, size.height, size.width, size.depth, 3.0));
        const MPS::ImageDescriptor d = kernel->destinationImageDescriptor({x[0]});
        kernel->setEdgeMode(MPS::ImageEdgeMode::Zero);
        for (const MPS::Offset& offset : offsets) {
            INFO("offset " << offset.x << ", " << offset.y);
            kernel->setOffset(offset);
            const auto from = [&](const MPS::ImageBatch& source) {
                return bitsOf(d, [&](const auto& commands, const auto& y) {
                    kernel->encodeBatch(commands, source, y);
                });
            };
            const auto bits = from(x), others = from(other);
            CHECK((bits == others || readsAnyhow(kernel->className())));
        }
    }
}

TEST_CASE("gradient kernels whose offset leaves nothing of the gradient do not depend on it") {
    for (const EveryGradient& each : everyClass<EveryGradient>()) {
        const auto kernel = each.kernel.make();
        INFO(kernel->className());
        const auto& size = each.source;
        const auto in =
            each.forward(upload(reference::distinct(2, size.height, size.width, size.depth, 1)));
        const Tensor like = download(in.gradient);
        const MPS::ImageBatch g = upload(Tensor(2, like.h, like.w, like.c, 1.0)),
                              other = upload(Tensor(2, like.h, like.w, like.c, 3.0));
        const MPS::ImageDescriptor d =
            kernel->destinationImageDescriptor({g[0], in.second[0]}, {in.states[0]});
        for (const MPS::Offset& offset : offsets) {
            INFO("offset " << offset.x << ", " << offset.y);
            kernel->setPrimaryOffset(offset);
            const auto from = [&](const MPS::ImageBatch& gradient) {
                return bitsOf(d, [&](const auto& commands, const auto& dx) {
                    kernel->encodeBatch(commands, gradient, in.second, in.states, dx);
                });
            };
            const auto bits = from(g), others = from(other);
            CHECK((bits == others || readsAnyhow(kernel->className())));
        }
    }
}
