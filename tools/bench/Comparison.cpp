#include "Comparison.hpp"

#include "Text.hpp"

#include <algorithm>
#include <cmath>
#include <functional>

namespace mpsvk::bench {

namespace {

/// What a program waits for: of a training step the wall time, which holds the host's share too.
double comparedMs(const Result& r) { return r.wallMs > 0 ? r.wallMs : r.ms; }

bool sameWork(const Result& ours, const Result& theirs) {
    return theirs.error.empty() && comparedMs(theirs) > 0 && theirs.name == ours.name &&
           theirs.mode.starts_with(ours.mode) &&
           (theirs.pass == ours.pass || theirs.pass.starts_with(ours.pass + "_"));
}

bool samePairOfPasses(const Pair& a, const Pair& b) {
    return a.name == b.name && a.pass == b.pass && a.mode == b.mode;
}

GroupMeans meansOf(std::string name, const std::vector<Pair>& pairs,
                   const std::function<bool(const Pair&)>& belongs) {
    const auto mean = [&](const std::string& mode) {
        Mean made;
        double logarithms = 0;
        for (const Pair& pair : pairs) {
            if (!belongs(pair) || (!mode.empty() && pair.mode != mode)) continue;
            logarithms += std::log(pair.ratio());
            ++made.count;
        }
        if (made.count > 0) made.value = std::exp(logarithms / double(made.count));
        return made;
    };
    return {std::move(name), mean("fp32"), mean("fp16"), mean("")};
}

std::string text(const Mean& mean) {
    if (mean.count == 0) return format(" %16s", "");
    const std::string count = "(" + std::to_string(mean.count) + ")";
    return format(" %9.2fx %5s", mean.value, count.c_str());
}

} // namespace

std::string Pair::meansGroup() const {
    const std::string known = group.empty() ? "other" : group;
    return otherPass == pass ? known : known + ", " + otherPass;
}

std::vector<Pair> pairsOf(const Report& ours, const Report& other) {
    std::vector<Pair> made;
    for (const Result& r : ours.results) {
        if (!r.error.empty() || comparedMs(r) <= 0) continue;
        std::vector<Pair> ways;
        for (const Result& theirs : other.results) {
            if (!sameWork(r, theirs)) continue;
            const Pair way{r.group,     r.name,        r.pass,
                           r.mode,      comparedMs(r), comparedMs(theirs),
                           theirs.pass, theirs.mode};
            const auto known = std::ranges::find(ways, theirs.pass, &Pair::otherPass);
            if (known == ways.end())
                ways.push_back(way);
            else if (way.otherMs < known->otherMs)
                *known = way;
        }
        made.insert(made.end(), ways.begin(), ways.end());
    }
    return made;
}

std::vector<GroupMeans> meansOf(const std::vector<Pair>& pairs) {
    std::vector<GroupMeans> made;
    for (const Pair& pair : pairs) {
        const std::string name = pair.meansGroup();
        if (std::ranges::find(made, name, &GroupMeans::name) != made.end()) continue;
        made.push_back(
            meansOf(name, pairs, [&](const Pair& other) { return other.meansGroup() == name; }));
    }
    std::vector<Pair> fastest;
    for (const Pair& pair : pairs) {
        if (pair.group == "copy") continue;
        const auto known = std::ranges::find_if(
            fastest, [&](const Pair& other) { return samePairOfPasses(pair, other); });
        if (known == fastest.end())
            fastest.push_back(pair);
        else if (pair.otherMs < known->otherMs)
            *known = pair;
    }
    if (!fastest.empty()) made.push_back(meansOf("all", fastest, [](const Pair&) { return true; }));
    return made;
}

std::string comparison(const Report& ours, const Report& other) {
    const std::string rule = std::string(97, '-') + "\n";
    std::string made = format("%-33s %-16s %-12s %10s %10s %11s", "name", "pass", "mode", "ours ms",
                              "other ms", "other/ours") +
                       "\n" + rule;
    const std::vector<Pair> pairs = pairsOf(ours, other);
    for (const Pair& pair : pairs) {
        made += format("%-33s %-16s %-12s %10.4f %10.4f %10.2fx", pair.name.c_str(),
                       pair.pass.c_str(), pair.mode.c_str(), pair.ms, pair.otherMs, pair.ratio());
        if (pair.otherPass != pair.pass || pair.otherMode != pair.mode)
            made += "  (" + pair.otherPass + ", " + pair.otherMode + ")";
        made += "\n";
    }
    const auto missing = std::ranges::count_if(ours.results, [&](const Result& r) {
        return r.error.empty() && std::ranges::none_of(pairs, [&](const Pair& pair) {
                   return pair.name == r.name && pair.pass == r.pass && pair.mode == r.mode;
               });
    });
    if (missing > 0) made += std::to_string(missing) + " results have no counterpart there.\n";
    if (pairs.empty()) return made;
    made +=
        "\n" +
        format("%-41s %16s %16s %16s", "geometric means of other/ours", "fp32", "fp16", "both") +
        "\n" + rule;
    for (const GroupMeans& group : meansOf(pairs)) {
        made += format("%-41s", group.name.c_str()) + text(group.fp32) + text(group.fp16) +
                text(group.both) + "\n";
    }
    return made;
}

} // namespace mpsvk::bench
