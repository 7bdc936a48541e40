// A graph's plans: recorded once for a shape of inputs, replayed with the images of each encode.
#include "mps/NNGraph.hpp"

#include "vk/Instance.hpp"

#include <algorithm>

namespace mpsvk::MPS {

namespace {

constexpr size_t mostPlans = 4, mostMisses = 8;

bool isLibrarys(const std::shared_ptr<ImageAllocator>& allocator) {
    return allocator == Image::defaultAllocator() ||
           allocator == TemporaryImage::defaultAllocator();
}

/// A temporary image's part of its heap as a resource of its own.
std::shared_ptr<vk::Resource> resourceOf(mps::ImageStorage& storage) {
    if (!storage.isTemporary() || storage.shape().texture) return storage.resource();
    const vk::BufferSlice& slice = storage.buffer();
    return std::make_shared<vk::Buffer>(slice.buffer, slice.offset, slice.size);
}

/// The states as handles that keep `owner`, which has them.
StateBatch lent(const StateBatch& states, const std::shared_ptr<const void>& owner) {
    StateBatch all;
    for (const State& state : states)
        all.push_back(State(std::shared_ptr<State::Impl>(owner, &state.impl())));
    return all;
}

} // namespace

std::string NNGraph::Impl::obstacleToReplay() const {
    if (updatesOnHost())
        return "weights are updated on the host, which may give kernels new memory";
    if (!resultStates.empty() && outputStateIsTemporary)
        return "states that leave the graph are to be temporary, and a plan's live on";
    for (const Step& step : steps) {
        if (!step.stage->replays())
            return nameOf(step) + " asks the program, which may say something else each time";
        if (!isLibrarys(ownAllocator(step.imageResult)))
            return "the result of " + nameOf(step) + " has an allocator of the program's";
    }
    return {};
}

std::string NNGraph::Impl::externalsOf(const Request& request,
                                       std::vector<mps::ExternalImages>& externals) const {
    for (size_t k = 0; k < request.images.size(); ++k) {
        auto& images = externals.emplace_back();
        images.reserve(request.images[k].size());
        for (const Image& image : request.images[k]) images.push_back(&image);
        if (!mps::mayReplayWith(images))
            return "source image " + std::to_string(k) + " is temporary";
    }
    const size_t ofImages = externals.size();
    for (size_t k = 0; k < request.states.size(); ++k) {
        if (std::ranges::any_of(request.states[k], &State::isTemporary))
            return "source state " + std::to_string(k) + " is temporary";
        if (!mps::appendImagesOf(request.states[k], externals))
            return "source state " + std::to_string(k) + " is none of loss labels";
    }
    for (size_t k = ofImages; k < externals.size(); ++k)
        if (!mps::mayReplayWith(externals[k])) return "a label of a source state is temporary";
    return {};
}

void NNGraph::Impl::forgetPlans() {
    plans.clear();
    layouts.clear();
}

void NNGraph::Impl::setOptions(KernelOptions value) {
    options = value;
    for (Step& step : steps) step.stage->kernel().setOptions(value);
    forgetPlans(); // kernels perhaps encode something else
}

bool NNGraph::Impl::isFree(const Plan& plan) const {
    if (!plan.lent.expired()) return false;
    // A program may hold on to a buffer of a state alone.
    for (size_t slot : resultStates)
        for (const State& state : plan.states[slot])
            for (const auto& resource : state.impl().resources)
                if (resource.object.shared().use_count() > 1) return false;
    return true;
}

std::shared_ptr<NNGraph::Impl::Plan> NNGraph::Impl::makePlan(const Request& request) {
    const auto plan = std::make_shared<Plan>(request.commands);
    plan->isBatch = request.isBatch;
    const Request recorded{plan->recording, request.images, request.states, request.isBatch};
    std::map<size_t, std::shared_ptr<Asked>> leaving;
    Outcome outcome = encodeSteps(
        recorded, {.layout = layoutFor(request), .stepEnds = &plan->stepEnds, .leaving = &leaving});
    std::vector<mps::ExternalImages> externals;
    externalsOf(request, externals);
    plan->setExternals(externals);
    for (const auto& [image, asked] : leaving) {
        const bool isTemporary = ownAllocator(image) == TemporaryImage::defaultAllocator();
        plan->leaving.push_back({*asked, image, isTemporary, {}});
        plan->replaceEachTime(outcome.images[image].at(0).impl().storage->resource());
    }
    plan->states = std::move(outcome.states);
    plan->placeTemporaries();
    return plan;
}

NNGraph::Impl::Made NNGraph::Impl::makeFor(const Request& request, Plan& plan,
                                           mps::GraphPlan::Resources& resources) const {
    std::map<size_t, ImageBatch> leaving;
    for (Plan::Leaving& each : plan.leaving) {
        ImageBatch& batch = leaving[each.image];
        if (each.isTemporary) {
            batch = TemporaryImage::batch(request.commands, each.shape, each.count);
            ImageBatchIncrementReadCount(batch, readsOutside(each.image) - 1);
        } else {
            batch = each.pool.batch(device, each.shape, each.count);
        }
        resources.push_back(resourceOf(*batch[0].impl().storage));
    }
    const auto imagesAt = [&](size_t image) {
        const auto input = std::ranges::find(inputImages, image);
        return input == inputImages.end() ? leaving.at(image)
                                          : request.images[size_t(input - inputImages.begin())];
    };
    Made made;
    if (resultsNeeded[0]) made.result = imagesAt(results[0]);
    for (size_t image : intermediateImages) made.intermediates.push_back(imagesAt(image));
    if (resultStates.empty()) return made;
    auto owner = std::make_shared<std::vector<StateBatch>>();
    for (size_t slot : resultStates) owner->push_back(plan.states[slot]);
    for (const StateBatch& batch : *owner) made.states.push_back(lent(batch, owner));
    plan.lent = owner;
    return made;
}

NNGraph::Impl::Replay NNGraph::Impl::replay(const Request& request,
                                            const std::vector<mps::ExternalImages>& externals) {
    Replay found;
    const auto fits = [&](const std::shared_ptr<Plan>& plan) {
        if (!isFree(*plan)) return false;
        for (const Plan::Leaving& each : plan->leaving)
            if (each.isTemporary !=
                (ownAllocator(each.image) == TemporaryImage::defaultAllocator()))
                return false;
        auto resources = plan->resourcesFor(externals);
        if (resources) found.resources = std::move(*resources);
        return resources.has_value();
    };
    const auto arena = mps::planArena(request.commands);
    for (auto it = plans.begin(); it != plans.end() && !found.plan; ++it) {
        if ((*it)->isBatch != request.isBatch || (*it)->arena != arena || !fits(*it)) continue;
        found.plan = *it;
        plans.splice(plans.begin(), plans, it);
    }
    missesInARow = found.plan ? 0 : missesInARow + 1;
    if (!found.plan && missesInARow > mostMisses) {
        whyEncodedAnew = "no plan fits, and none of the " + std::to_string(mostMisses) +
                         " latest ones was used again";
        return found;
    }
    if (!found.plan) {
        found.plan = makePlan(request);
        found.resources = *found.plan->resourcesFor(externals);
        plans.push_front(found.plan);
        if (plans.size() > mostPlans) plans.pop_back();
        if ((options & KernelOptions::Verbose) == KernelOptions::Verbose)
            vk::log(int(LogLevel::Info), description());
    }
    found.made = makeFor(request, *found.plan, found.resources);
    return found;
}

} // namespace mpsvk::MPS
