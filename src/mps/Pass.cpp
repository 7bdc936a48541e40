#include "mps/Pass.hpp"

#include <mpsvk/Error.hpp>

#include <algorithm>

namespace mpsvk::mps {

std::string sizeText(uint64_t width, uint64_t height) {
    return std::to_string(width) + "x" + std::to_string(height);
}

Clip clipOf(const MTL::Region& rect, const MPS::Image& destination) {
    const auto part = [](uint64_t origin, uint64_t length, uint64_t all) {
        return origin >= all ? 0 : std::min(length, all - origin);
    };
    return {int64_t(std::min<uint64_t>(rect.origin.x, INT64_MAX)),
            int64_t(std::min<uint64_t>(rect.origin.y, INT64_MAX)),
            part(rect.origin.x, rect.size.width, destination.width()),
            part(rect.origin.y, rect.size.height, destination.height())};
}

uint64_t imagesOf(const std::string& who, const MTL::Region& rect, int64_t firstSource,
                  const MPS::Image& source, const MPS::Image& destination) {
    const uint64_t sources = source.numberOfImages(), destinations = destination.numberOfImages();
    if (firstSource < 0 || uint64_t(firstSource) >= sources)
        throw InvalidArgument(who + "offset.z is " + std::to_string(firstSource) +
                              " but the source has " + std::to_string(sources) + " images.");
    if (rect.origin.z >= destinations)
        throw InvalidArgument(who + "clipRect.origin.z is " + std::to_string(rect.origin.z) +
                              " but the destination has " + std::to_string(destinations) +
                              " images.");
    const uint64_t offered =
        std::min(sources - uint64_t(firstSource), destinations - rect.origin.z);
    if (rect.size.depth == UINT64_MAX) return offered;
    if (rect.size.depth > offered)
        throw InvalidArgument(who + "clipRect.size.depth is " + std::to_string(rect.size.depth) +
                              " but source and destination have only " + std::to_string(offered) +
                              " images from offset.z and clipRect.origin.z on.");
    return rect.size.depth;
}

MPS::StateBatch plainGradientStates(const StateRequest& request) {
    MPS::StateBatch made;
    made.reserve(request.count());
    for (size_t i = 0; i < request.count(); ++i)
        made.push_back(MPS::NNGradientState(
            std::make_shared<MPS::NNGradientState::Impl>(request.device, request.record)));
    return made;
}

} // namespace mpsvk::mps

namespace mpsvk::MPS {

NNGradientState::NNGradientState(std::shared_ptr<Impl> impl) : State(std::move(impl)) {}
bool NNGradientState::isKindOf(const detail::ObjectImpl& object) {
    return dynamic_cast<const Impl*>(&object) != nullptr;
}

NNBinaryGradientState::NNBinaryGradientState(std::shared_ptr<Impl> impl) : State(std::move(impl)) {}
bool NNBinaryGradientState::isKindOf(const detail::ObjectImpl& object) {
    return dynamic_cast<const Impl*>(&object) != nullptr;
}

NNMultiaryGradientState::NNMultiaryGradientState(std::shared_ptr<Impl> impl)
    : State(std::move(impl)) {}
bool NNMultiaryGradientState::isKindOf(const detail::ObjectImpl& object) {
    return dynamic_cast<const Impl*>(&object) != nullptr;
}

} // namespace mpsvk::MPS
