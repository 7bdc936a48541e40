#include "mps/KnownUpdates.hpp"

#include "mps/GraphPlan.hpp"
#include "mps/OptimizerUpdate.hpp"
#include "mps/Stage.hpp"
#include "vk/Lent.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <set>

namespace mpsvk::mps {

namespace {

using Numbers = glsl::NNOptimizerParameters;
using Place = KnownUpdates::Place;
using Update = KnownUpdates::Update;
using Group = KnownUpdates::Group;

/// Updates that come in another order each time are not taken down again and again.
constexpr size_t mostMisses = 8;
/// What an optimizer decides comes first, and then what its operands do.
constexpr size_t numberBytes = offsetof(Numbers, rows);

bool areSame(const Numbers& a, const Numbers& b) { return std::memcmp(&a, &b, numberBytes) == 0; }

} // namespace

uint64_t newVersion() {
    static std::atomic<uint64_t> latest{0};
    return ++latest;
}

UpdateRun::UpdateRun(const MTL::CommandBuffer& commands, UpdateMemory* memory)
    : commands_(commands), memory_(memory) {
    auto& buffer = commands.impl();
    // Of a graph within a graph's update the commands may be dropped once more.
    if (!memory || memory->isInUse || buffer.deferred || buffer.drafts != 1 || !buffer.queue)
        return;
    known_ = memory->known;
    if (known_ && holdResources()) {
        mode_ = Mode::Recognizing;
        for (Group& group : known_->groups) group.isSet = false;
    } else {
        if (known_) ++memory->missesInARow;
        memory->known.reset();
        if (memory->missesInARow >= mostMisses) return;
        known_ = std::make_shared<KnownUpdates>();
        draft_ = std::make_unique<Draft>(commands, "", std::vector<MPS::ImageBatch>(),
                                         std::vector<MPS::StateBatch>());
        mode_ = Mode::Recording;
    }
    buffer.deferred = this;
    memory->isInUse = true;
}

UpdateRun::~UpdateRun() {
    auto& buffer = commands_.impl();
    if (buffer.deferred != this) return;
    buffer.deferred = nullptr;
    memory_->isInUse = false;
}

UpdateRun* UpdateRun::of(const MTL::CommandBuffer& commands) {
    auto* const run = commands ? static_cast<UpdateRun*>(commands.impl().deferred) : nullptr;
    return run && run->mode_ != Mode::Neither ? run : nullptr;
}

bool UpdateRun::holdResources() {
    held_ = known_->held.lock(); // by a step that has not run yet
    if (held_) return true;
    held_ = std::make_shared<KnownUpdates::Held>();
    held_->reserve(known_->resources.size());
    for (const KnownUpdates::Resource& resource : known_->resources) {
        held_->push_back(resource.owner.lock());
        if (!held_->back()) return false;
    }
    known_->held = held_;
    return true;
}

void UpdateRun::beginUpdate(uint32_t shape) {
    Update& update = known_->updates.emplace_back();
    update.firstOperand = uint32_t(known_->operands.size());
    update.shape = shape;
}

bool UpdateRun::note(const MPS::State& state) {
    if (!state || state.impl().temporary) return false;
    known_->operands.emplace_back(state);
    known_->places.emplace_back();
    return true;
}

bool UpdateRun::note(const MPS::Vector& vector) {
    if (vector && vector.isTemporary()) return false;
    known_->operands.emplace_back(vector);
    Place& place = known_->places.emplace_back();
    if (!vector) return true;
    const vk::BufferSlice& slice = vector.impl().slice();
    if (vector.dataType() == MPS::DataType::Float32)
        place = {slice.buffer.get(), slice.offset, vector.length(), vector.vectors(),
                 vector.vectorBytes()};
    return true;
}

bool UpdateRun::note(const std::vector<MPS::Vector>& vectors) {
    return vectors.size() <= 2 &&
           std::ranges::all_of(vectors, [this](const MPS::Vector& vector) { return note(vector); });
}

bool UpdateRun::isNext(std::string_view shader, uint32_t shape) {
    if (nextUpdate_ == known_->updates.size()) return false;
    const Update& update = known_->updates[nextUpdate_];
    nextOperand_ = update.firstOperand;
    return update.shape == shape && known_->groups[update.group].shader == shader;
}

bool UpdateRun::matches(const MPS::State& state) {
    return known_->operands[nextOperand_++].is(state);
}

bool UpdateRun::matches(const MPS::Vector& vector) {
    const size_t at = nextOperand_++;
    if (known_->operands[at].is(vector)) return true;
    const Place& place = known_->places[at];
    if (!vector || !place.buffer || vector.isTemporary()) return false;
    auto& impl = vector.impl();
    const vk::BufferSlice& slice = impl.slice();
    const auto& d = impl.descriptor;
    // The buffer is held, so that no other one can be at its address.
    return slice.buffer.get() == place.buffer && slice.offset == place.offset &&
           d.length() == place.length && d.vectors() == place.vectors &&
           d.vectorBytes() == place.rowBytes && d.dataType() == MPS::DataType::Float32;
}

bool UpdateRun::matches(const std::vector<MPS::Vector>& vectors) {
    return vectors.size() <= 2 && std::ranges::all_of(vectors, [this](const MPS::Vector& vector) {
               return matches(vector);
           });
}

void UpdateRun::setNumbers(const Numbers& numbers) {
    const Update& update = known_->updates[nextUpdate_];
    Group& group = known_->groups[update.group];
    if (!group.isSet) {
        group.now = numbers;
        group.isSet = true;
    } else if (!areSame(group.now, numbers)) { // it cannot share their dispatch any more
        record();
        Encoder encoder(commands_, "");
        dispatch(encoder, update, numbers);
        return;
    }
    ++nextUpdate_;
}

void UpdateRun::dispatch(Encoder& encoder, const Update& update, const Numbers& numbers) {
    for (uint32_t k = 0; k < update.rangeCount; ++k) {
        UpdateRange range = known_->ranges[update.firstRange + k];
        dispatchUpdate(encoder, known_->groups[update.group].shader, numbers, range);
    }
}

size_t UpdateRun::groupOf(std::string_view shader, const Numbers& numbers) {
    const auto found = std::ranges::find_if(known_->groups, [&](const Group& group) {
        return group.shader == shader && areSame(group.recorded, numbers);
    });
    const size_t at = size_t(found - known_->groups.begin());
    if (at == known_->groups.size()) known_->groups.push_back({shader, numbers, numbers, true});
    return at;
}

void UpdateRun::add(std::string_view shader, const Numbers& numbers,
                    std::span<const UpdateRange> ranges) {
    if (mode_ != Mode::Recording) return;
    const size_t group = groupOf(shader, numbers);
    Update& update = known_->updates.back();
    update.group = uint32_t(group);
    update.firstRange = uint32_t(known_->ranges.size());
    update.rangeCount = uint32_t(ranges.size());
    for (const UpdateRange& range : ranges) {
        UpdateRange& noted = known_->ranges.emplace_back(range);
        for (ArrayView& view : noted) {
            if (!view) continue;
            addResource(view.slice.buffer);
            view.slice.buffer = vk::lent(view.slice.buffer.get());
        }
    }
}

void UpdateRun::endUpdate(bool isRecorded) {
    isExpected_ = false;
    if (!isRecorded && mode_ == Mode::Recording) record();
}

void UpdateRun::seal() {
    if (mode_ == Mode::Recording) return draft_->list().seal();
    if (mode_ == Mode::Neither) Encoder(commands_, "").list().seal();
}

void UpdateRun::record() {
    const Mode before = mode_;
    if (before == Mode::Neither || isExpected_) return;
    mode_ = Mode::Neither;
    ++memory_->missesInARow;
    if (before == Mode::Recording) return;
    memory_->known.reset();
    Encoder encoder(commands_, "");
    encoder.list().retain(held_);
    for (size_t i = 0; i < nextUpdate_; ++i) {
        const Update& update = known_->updates[i];
        dispatch(encoder, update, known_->groups[update.group].now);
    }
}

bool UpdateRun::beginLoad(const MPS::State& state) {
    isExpected_ = mode_ == Mode::Recording && !state.isTemporary();
    return isExpected_;
}

void UpdateRun::endLoad(const Stage& reader, const MPS::State& state) {
    isExpected_ = false;
    const uint64_t version = reader.reloadVersion();
    if (version == 0)
        record();
    else
        known_->loads.push_back({&reader, KnownObject(state), version});
}

bool UpdateRun::isKnownLoad(const Stage& reader, const MPS::State& state) {
    if (nextLoad_ == known_->loads.size()) return false;
    const auto& load = known_->loads[nextLoad_++];
    return load.reader == &reader && load.state.is(state) && reader.reloadVersion() == load.version;
}

bool UpdateRun::replay() {
    if (mode_ != Mode::Recognizing) return false;
    const KnownUpdates& known = *known_;
    if (nextUpdate_ == 0 && nextLoad_ == 0) { // gradients are added up before they are used
        mode_ = Mode::Neither;
        return false;
    }
    if (nextUpdate_ != known.updates.size() || nextLoad_ != known.loads.size()) {
        record();
        return false;
    }
    mode_ = Mode::Neither;
    memory_->missesInARow = 0;
    const bool sameNumbers = std::ranges::all_of(
        known.groups, [](const Group& group) { return areSame(group.recorded, group.now); });
    Encoder encoder(commands_, "");
    encoder.list().include(known.commands, sameNumbers ? known.sameNumbers : known.otherNumbers,
                           {});
    encoder.list().retain(known_);
    encoder.list().retain(std::move(held_));
    return true;
}

void UpdateRun::finish(const std::vector<MPS::StateBatch>& states) {
    if (!draft_) return;
    if (mode_ == Mode::Recording) remember(states);
    mode_ = Mode::Neither;
    draft_->keep();
    draft_.reset();
}

void UpdateRun::addCommand(const vk::CommandList& list, const vk::CommandList::Command& command) {
    std::vector<vk::Binding> bindings;
    for (const vk::Binding& binding : list.bindings(command)) {
        bindings.push_back(binding);
        if (!binding.resource) continue;
        addResource(binding.resource);
        bindings.back().resource = vk::lent(binding.resource.get());
    }
    const auto parameters = list.bytes(command.parameters, command.parameterBytes);
    vk::Refresh refresh;
    if (isOptimizers(command)) {
        Numbers numbers{};
        std::memcpy(&numbers, parameters.data(), numberBytes);
        refresh = [known = known_.get(),
                   group = groupOf(command.pipeline->name(), numbers)](std::byte* bytes) {
            std::memcpy(bytes, &known->groups[group].now, numberBytes);
        };
    }
    known_->commands.dispatch(vk::lent(command.pipeline.get()), bindings, parameters,
                              command.groups, std::move(refresh),
                              list.bytes(command.push, command.pushBytes));
}

void UpdateRun::addResource(const std::shared_ptr<const void>& resource) {
    known_->resources.push_back({resource.get(), resource});
}

void UpdateRun::forgetResources(const std::vector<MPS::StateBatch>& states) {
    std::set<const void*> known;
    for (const MPS::StateBatch& batch : states)
        for (const MPS::State& state : batch)
            for (const MPS::State::Impl::Resource& resource : state.impl().resources)
                known.insert(resource.slice.buffer.get());
    // Now each one once.
    std::erase_if(known_->resources, [&](const KnownUpdates::Resource& resource) {
        return !known.insert(resource.address).second;
    });
    std::ranges::sort(known_->resources, {}, &KnownUpdates::Resource::address);
}

void UpdateRun::remember(const std::vector<MPS::StateBatch>& states) {
    if (known_->updates.empty() && known_->loads.empty()) return;
    const vk::CommandList& list = draft_->list();
    const auto isPlain = [](const vk::CommandList::Command& command) {
        return command.kind == vk::CommandList::Kind::Dispatch && command.pipeline->isKernel() &&
               !command.extra;
    };
    if (!std::ranges::all_of(list.commands(), isPlain)) {
        ++memory_->missesInARow;
        return;
    }
    known_->commands.setTemplate();
    for (const auto& command : list.commands()) addCommand(list, command);
    for (const auto& resource : list.written()) {
        addResource(resource);
        known_->commands.alsoWrites(vk::lent(resource.get()));
    }
    forgetResources(states);
    known_->otherNumbers = known_->commands.usesOf({});
    memory_->known = known_;
}

} // namespace mpsvk::mps
