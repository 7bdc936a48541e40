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

uint64_t imagesOf(const std::string& who, const MTL::Region& rect, MPS::ImageRange range,
                  const MPS::Image& source, const MPS::Image& destination, uint64_t each) {
    const uint64_t sources = source.numberOfImages(), destinations = destination.numberOfImages();
    if (range.first < 0 || uint64_t(range.first) >= sources)
        throw InvalidArgument(who + "The first image to be read is " + std::to_string(range.first) +
                              " but the source has " + std::to_string(sources) + " images.");
    if (range.count == 0) throw InvalidArgument(who + "No image of the source is to be read.");
    if (rect.origin.z >= destinations)
        throw InvalidArgument(who + "clipRect.origin.z is " + std::to_string(rect.origin.z) +
                              " but the destination has " + std::to_string(destinations) +
                              " images.");
    const uint64_t offered = std::min(
        {range.count, sources - uint64_t(range.first), (destinations - rect.origin.z) / each});
    if (offered == 0)
        throw InvalidArgument(who + "One source image gives " + std::to_string(each) +
                              " results but the destination has " +
                              std::to_string(destinations - rect.origin.z) +
                              " images from clipRect.origin.z on.");
    if (rect.size.depth == UINT64_MAX) return offered;
    if (rect.size.depth > offered * each || rect.size.depth % each != 0)
        throw InvalidArgument(who + "clipRect.size.depth is " + std::to_string(rect.size.depth) +
                              " but source and destination have only " +
                              std::to_string(offered * each) + " images to offer, in steps of " +
                              std::to_string(each) + ".");
    return rect.size.depth / each;
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
