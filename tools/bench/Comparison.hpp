// Two reports next to each other: who is faster, by how much, and on the mean.
#pragma once

#include "Report.hpp"

namespace mpsvk::bench {

/// One of our results and the other's fastest way of the same work. Modes that begin with ours are
/// the same precision in another layout, and the fastest of them counts. Passes that begin with
/// ours and "_" are the same pass done another way; each of them is a pair of its own.
struct Pair {
    std::string group, name, pass, mode;
    double ms = 0, otherMs = 0; ///< of training steps the wall time
    std::string otherPass, otherMode;

    double ratio() const { return otherMs / ms; } ///< above 1 we are faster
    /// The group of means that it belongs to.
    std::string meansGroup() const;
};

/// In the order of our results. Those that failed, or are nowhere in the other report, have none.
std::vector<Pair> pairsOf(const Report& ours, const Report& other);

/// A geometric mean of ratios; 0 of none.
struct Mean {
    double value = 0;
    size_t count = 0;
};
struct GroupMeans {
    std::string name;
    Mean fp32, fp16, both;
};

/// Of each group, with passes that the other does another way as groups of their own; the last one,
/// "all", has each of our results once, against the fastest way, and leaves out the copies.
std::vector<GroupMeans> meansOf(const std::vector<Pair>& pairs);

/// The table of pairs, and the table of means below it.
std::string comparison(const Report& ours, const Report& other);

} // namespace mpsvk::bench
