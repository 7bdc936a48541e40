#include "mps/Archive.hpp"
#include "mps/NDArrayPass.hpp"
#include "mps/PassChecks.hpp"
#include "mtl/CommandEncoder.hpp"

#include <mpsvk/Error.hpp>

#include <set>

namespace mpsvk::mps {

const NDRecord& NDPass::record() const {
    return static_cast<const MPS::NDArrayGradientState::Impl&>(state.impl()).record;
}

} // namespace mpsvk::mps

namespace mpsvk::MPS {

namespace {

std::string indexed(size_t index) { return "sourceArrays[" + std::to_string(index) + "]"; }

template <class Array> Array all(int value) {
    Array made;
    made.dimensions.fill(uint64_t(value));
    return made;
}

mps::NDRecord* recordOf(const State& state) {
    auto* impl = dynamic_cast<NDArrayGradientState::Impl*>(state.shared().get());
    return impl ? &impl->record : nullptr;
}

} // namespace

NDArrayGradientState::NDArrayGradientState(std::shared_ptr<Impl> impl) : State(std::move(impl)) {}
bool NDArrayGradientState::isKindOf(const detail::ObjectImpl& object) {
    return dynamic_cast<const Impl*>(&object) != nullptr;
}

NDArrayMultiaryBase::NDArrayMultiaryBase(const MTL::Device& device, uint64_t sourceCount)
    : Kernel(device), sourceCount_(sourceCount), allocator_(TemporaryNDArray::defaultAllocator()) {}

void NDArrayMultiaryBase::archive(mps::Archive& archive) {
    Kernel::archive(archive);
    archive.object("destinationArrayAllocator", allocator_, "The destination array allocator");
    if (archive.isReading()) setDestinationArrayAllocator(allocator_);
}

void NDArrayMultiaryBase::archiveSourceCount(mps::Archive& archive) {
    archive("sourceCount", sourceCount_);
}

void NDArrayMultiaryBase::setDestinationArrayAllocator(
    std::shared_ptr<NDArrayAllocator> allocator) {
    allocator_ = allocator ? std::move(allocator) : TemporaryNDArray::defaultAllocator();
}

void NDArrayMultiaryBase::checkSourceIndex(uint64_t index) const {
    if (index >= sourceCount_)
        throw InvalidArgument(subject() + "A property of source " + std::to_string(index) +
                              " was asked for but sourceCount is " + std::to_string(sourceCount_) +
                              ".");
}

NDArrayOffsets NDArrayMultiaryBase::offsets(uint64_t index) const {
    checkSourceIndex(index);
    return {};
}
ImageEdgeMode NDArrayMultiaryBase::edgeMode(uint64_t index) const {
    checkSourceIndex(index);
    return ImageEdgeMode::Zero;
}
NDArraySizes NDArrayMultiaryBase::kernelSizes(uint64_t index) const {
    checkSourceIndex(index);
    return all<NDArraySizes>(1);
}
NDArrayOffsets NDArrayMultiaryBase::strides(uint64_t index) const {
    checkSourceIndex(index);
    return sourceStrides();
}
NDArraySizes NDArrayMultiaryBase::dilationRates(uint64_t index) const {
    checkSourceIndex(index);
    return all<NDArraySizes>(1);
}

NDArrayOffsets NDArrayMultiaryBase::sourceStrides() const { return all<NDArrayOffsets>(1); }
bool NDArrayMultiaryBase::takesResultType(DataType) const { return false; }
NDArrayGradientState NDArrayMultiaryBase::makeState(const MTL::Device&) const { return {}; }
void NDArrayMultiaryBase::record(mps::NDRecord&) const {}
void NDArrayMultiaryBase::validate(const mps::NDPass&) const {}

void NDArrayMultiaryBase::checkSources(const std::vector<NDArray>& sources) const {
    if (sources.size() != sourceCount_)
        throw InvalidArgument(subject() + "sourceArrays has " + std::to_string(sources.size()) +
                              " arrays but sourceCount is " + std::to_string(sourceCount_) + ".");
    for (size_t i = 0; i < sources.size(); ++i)
        if (!sources[i]) throw InvalidArgument(subject() + indexed(i) + " is empty.");
}

NDArrayDescriptor
NDArrayMultiaryBase::destinationArrayDescriptor(const std::vector<NDArray>& sources,
                                                const State&) const {
    checkSources(sources);
    return resultDescriptor(sources);
}

void NDArrayMultiaryBase::takeRecord(const std::vector<NDArray>& sources,
                                     const NDArray& destination, const State& state) const {
    mps::NDRecord made;
    made.className = className();
    for (const NDArray& source : sources) made.sources.push_back(source.impl().layout);
    made.destination = destination.impl().layout;
    record(made);
    *recordOf(state) = std::move(made);
}

State NDArrayMultiaryBase::resultState(const std::vector<NDArray>& sources,
                                       const std::vector<State>&,
                                       const NDArray& destination) const {
    checkSources(sources);
    if (!destination) throw InvalidArgument(subject() + "destinationArray is empty.");
    const State made = makeState(sources[0].device());
    if (made) takeRecord(sources, destination, made);
    return made;
}

NDArray NDArrayMultiaryBase::allocate(const MTL::CommandBuffer& commandBuffer,
                                      const NDArrayDescriptor& descriptor) const {
    commandBuffer.impl().list(subject());
    return allocator_->array(commandBuffer, descriptor, *this);
}

void NDArrayMultiaryBase::run(const MTL::CommandBuffer& commandBuffer,
                              const std::vector<NDArray>& sources, const NDArray& gradient,
                              const State& state, const NDArray& destination) {
    mps::NDPass pass;
    pass.who = subject();
    checkSources(sources);
    mps::Encoder encoder(commandBuffer, *this);
    mps::checkDevice(pass.who, device(), commandBuffer);
    std::vector<std::pair<std::string, NDArray>> arrays; // in the order of the operands
    for (size_t i = 0; i < sources.size(); ++i) arrays.emplace_back(indexed(i), sources[i]);
    if (gradient) arrays.emplace_back("sourceGradient", gradient);
    arrays.emplace_back("destinationArray", destination);
    for (const auto& [role, array] : arrays) {
        if (!array) throw InvalidArgument(pass.who + role + " is empty.");
        array.impl().checkUsable(pass.who, role.c_str(), commandBuffer);
    }
    if (state) state.impl().checkUsable(pass.who, "The gradient state", commandBuffer);
    pass.sources = sources;
    pass.gradient = gradient;
    pass.destination = destination;
    pass.state = state;
    const mps::NDLayout wanted = mps::newLayout(resultDescriptor(sources));
    const mps::NDLayout& given = destination.impl().layout;
    if (!given.hasShapeOf(wanted) ||
        (given.dataType != wanted.dataType && !takesResultType(given.dataType)))
        throw InvalidArgument(pass.who + "destinationArray is " + mps::shapeText(given) +
                              " of the dataType " + std::to_string(uint32_t(given.dataType)) +
                              " but the result is " + mps::shapeText(wanted) + " of the dataType " +
                              std::to_string(uint32_t(wanted.dataType)) + ".");
    if (!mps::areApart(given))
        throw InvalidArgument(pass.who +
                              "destinationArray is a view with strides that let elements "
                              "share memory.");
    validate(pass);
    for (const auto& [role, array] : arrays)
        pass.operands.emplace_back(encoder, pass.who, role.c_str(), array);
    for (size_t i = 0; i + 1 < arrays.size(); ++i)
        mps::checkApart(pass.who, "destinationArray", pass.operands.back(), arrays[i].first.c_str(),
                        pass.operands[i]);
    pass.encoder = &encoder;
    dispatch(pass);
    std::set<const detail::ObjectImpl*> seen;
    for (size_t i = 0; i + 1 < arrays.size(); ++i)
        if (seen.insert(arrays[i].second.shared().get()).second) arrays[i].second.impl().wasRead();
    if (state && gradient) state.impl().wasRead();
    if (state && !gradient) takeRecord(sources, destination, state);
}

NDArray NDArrayMultiaryKernel::encode(const MTL::CommandBuffer& commandBuffer,
                                      const std::vector<NDArray>& sources) {
    return encode(commandBuffer, sources, nullptr, false);
}

void NDArrayMultiaryKernel::encode(const MTL::CommandBuffer& commandBuffer,
                                   const std::vector<NDArray>& sources,
                                   const NDArray& destination) {
    encode(commandBuffer, sources, State{}, destination);
}

NDArray NDArrayMultiaryKernel::encode(const MTL::CommandBuffer& commandBuffer,
                                      const std::vector<NDArray>& sources, State* state,
                                      bool outputStateIsTemporary) {
    (void)outputStateIsTemporary; // the states keep no memory
    const NDArray destination = allocate(commandBuffer, destinationArrayDescriptor(sources));
    const State made = state ? State(makeState(device())) : State();
    run(commandBuffer, sources, {}, made, destination);
    if (state) *state = made;
    return destination;
}

void NDArrayMultiaryKernel::encode(const MTL::CommandBuffer& commandBuffer,
                                   const std::vector<NDArray>& sources, const State& state,
                                   const NDArray& destination) {
    if (state) {
        const auto* record = recordOf(state);
        if (!record || record->className != className())
            throw InvalidArgument(subject() + "resultState was not made by a " + className() + ".");
    }
    run(commandBuffer, sources, {}, state, destination);
}

void NDArrayMultiaryKernel::encode(const MTL::ComputeCommandEncoder& encoder,
                                   const MTL::CommandBuffer& commandBuffer,
                                   const std::vector<NDArray>& sources,
                                   const NDArray& destination) {
    within(encoder, commandBuffer, [&] { encode(commandBuffer, sources, destination); });
}

void NDArrayMultiaryKernel::within(const MTL::ComputeCommandEncoder& encoder,
                                   const MTL::CommandBuffer& commandBuffer,
                                   const std::function<void()>& encode) const {
    if (!encoder) return encode();
    auto& buffer = commandBuffer.impl();
    auto& open = static_cast<const MTL::CommandEncoder&>(encoder).impl();
    open.list("an encode of a kernel"); // refuses an ended one
    if (open.commandBuffer.get() != &buffer)
        throw InvalidArgument(subject() + "The encoder is open on another command buffer.");
    struct Paused {
        explicit Paused(bool& open) : open(open) { open = false; }
        ~Paused() { open = true; }
        bool& open;
    } paused(buffer.encoderOpen);
    encode();
}

NDArrayMultiaryGradientKernel::NDArrayMultiaryGradientKernel(const MTL::Device& device,
                                                             uint64_t sourceCount,
                                                             uint64_t sourceGradientIndex)
    : NDArrayMultiaryBase(device, sourceCount), sourceGradientIndex_(sourceGradientIndex) {}

NDArrayDescriptor
NDArrayMultiaryGradientKernel::resultDescriptor(const std::vector<NDArray>& sources) const {
    return sources[sourceGradientIndex_].descriptor();
}

void NDArrayMultiaryGradientKernel::validate(const mps::NDPass& pass) const {
    const auto* record = recordOf(pass.state);
    if (!record || record->className != forwardClassName())
        throw InvalidArgument(pass.who + "gradientState was not made by a " + forwardClassName() +
                              ".");
    for (size_t i = 0; i < pass.sources.size(); ++i)
        if (!pass.source(i).hasShapeOf(record->sources[i]))
            throw InvalidArgument(pass.who + indexed(i) + " is " + mps::shapeText(pass.source(i)) +
                                  " but the state was made for " +
                                  mps::shapeText(record->sources[i]) + ".");
    const mps::NDLayout &gradient = pass.gradient.impl().layout,
                        &destination = pass.destination.impl().layout;
    if (!gradient.hasShapeOf(record->destination))
        throw InvalidArgument(pass.who + "sourceGradient is " + mps::shapeText(gradient) +
                              " but the state was made for a result of " +
                              mps::shapeText(record->destination) + ".");
    if (gradient.dataType != destination.dataType)
        throw InvalidArgument(pass.who + "sourceGradient has the dataType " +
                              std::to_string(uint32_t(gradient.dataType)) + " but the source has " +
                              std::to_string(uint32_t(destination.dataType)) + ".");
}

NDArray NDArrayMultiaryGradientKernel::encode(const MTL::CommandBuffer& commandBuffer,
                                              const std::vector<NDArray>& sources,
                                              const NDArray& gradient, const State& state) {
    const NDArray destination = allocate(commandBuffer, destinationArrayDescriptor(sources, state));
    encode(commandBuffer, sources, gradient, state, destination);
    return destination;
}

void NDArrayMultiaryGradientKernel::encode(const MTL::CommandBuffer& commandBuffer,
                                           const std::vector<NDArray>& sources,
                                           const NDArray& gradient, const State& state,
                                           const NDArray& destination) {
    if (!gradient) throw InvalidArgument(subject() + "sourceGradient is empty.");
    if (!state) throw InvalidArgument(subject() + "gradientState is empty.");
    run(commandBuffer, sources, gradient, state, destination);
}

} // namespace mpsvk::MPS
