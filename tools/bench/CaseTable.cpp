#include "CaseTable.hpp"

#include <mpsvk/Error.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <sstream>

namespace mpsvk::bench {

namespace {

using Json = nlohmann::json;

const std::map<std::string, Group> groupsByName = {
    {"copy", Group::Copy},
    {"convolution", Group::Convolution},
    {"convolution_transpose", Group::ConvolutionTranspose},
    {"memory_bound", Group::MemoryBound},
    {"update", Group::Update},
    {"fully_connected", Group::FullyConnected},
    {"matrix_product", Group::MatrixProduct},
    {"gram_matrix", Group::GramMatrix},
    {"training_step", Group::TrainingStep},
};

uint64_t number(const Json& entry, const char* key, uint64_t missing) {
    if (!entry.contains(key)) return missing;
    const Json& value = entry.at(key);
    if (!value.is_number_unsigned()) {
        throw FormatError("The benchmark case " + entry.value("name", std::string("?")) + ": " +
                          key + " is not a whole number of at least 0.");
    }
    return value.get<uint64_t>();
}

void check(const Case& made) {
    const auto refuse = [&](const std::string& what) {
        throw FormatError("The benchmark case " + made.name + ": " + what);
    };
    if (made.mode != "fp32" && made.mode != "fp16")
        refuse("the mode " + made.mode + " is neither fp32 nor fp16.");
    for (const uint64_t size : {made.n, made.ci, made.co, made.h, made.w, made.k, made.stride,
                                made.groups, made.dilation}) {
        if (size == 0) refuse("a size is 0.");
    }
    if (made.group == Group::Update && made.parameters == 0) refuse("it has no parameters.");
    const uint64_t window = (made.k - 1) * made.dilation + 1, smallest = std::min(made.h, made.w);
    if (made.group == Group::ConvolutionTranspose) {
        if ((smallest - 1) * made.stride + window <= 2 * made.pad)
            refuse("the padding leaves nothing of the result.");
    } else if (smallest + 2 * made.pad < window) {
        refuse("the window is larger than the padded source.");
    }
    if (made.ci % made.groups != 0 || made.co % made.groups != 0)
        refuse("the groups do not divide the channels.");
}

Case parseCase(const Json& entry, Group group) {
    Case made;
    made.group = group;
    made.name = entry.at("name").get<std::string>();
    made.n = number(entry, "n", number(entry, "rows", number(entry, "batch", 1)));
    made.ci = number(entry, "ci", number(entry, "c", number(entry, "columns", 1)));
    made.co = number(entry, "co", made.ci);
    made.h = number(entry, "h", 1);
    made.w = number(entry, "w", 1);
    made.k = number(entry, "k", 1);
    made.stride = number(entry, "stride", 1);
    made.pad = number(entry, "pad", 0);
    made.groups = number(entry, "groups", 1);
    made.dilation = number(entry, "dilation", 1);
    made.parameters = number(entry, "parameters", 0);
    made.fixed = entry.value("fixed", false);
    made.network = entry.value("network", std::string());
    made.cpuOnly = entry.value("devices", std::string()) == "cpu";
    return made;
}

std::vector<std::string> words(const Json& entry, const Json& group, const char* key) {
    const Json& from = entry.contains(key) ? entry : group;
    return from.at(key).get<std::vector<std::string>>();
}

} // namespace

std::string nameOf(Group group) {
    return std::ranges::find(groupsByName, group, &std::pair<const std::string, Group>::second)
        ->first;
}

std::vector<Case> parseCases(std::string_view json) {
    std::vector<Case> all;
    try {
        const Json table = Json::parse(json);
        for (const auto& [key, group] : table.items()) {
            if (key == "about") continue;
            const auto found = groupsByName.find(key);
            if (found == groupsByName.end())
                throw FormatError("The benchmark table has an unknown group " + key + ".");
            for (const Json& entry : group.at("cases")) {
                Case made = parseCase(entry, found->second);
                for (const std::string& mode : words(entry, group, "modes")) {
                    for (const std::string& pass : words(entry, group, "passes")) {
                        made.mode = mode;
                        made.pass = pass;
                        check(made);
                        all.push_back(made);
                    }
                }
            }
        }
    } catch (const Json::exception& error) {
        throw FormatError(std::string("The benchmark table cannot be read: ") + error.what());
    }
    std::stable_sort(all.begin(), all.end(),
                     [](const Case& a, const Case& b) { return a.group < b.group; });
    return all;
}

std::vector<Case> loadCases(const std::filesystem::path& file) {
    std::ifstream stream(file, std::ios::binary);
    if (!stream) throw FormatError("The benchmark table " + file.string() + " cannot be opened.");
    std::ostringstream text;
    text << stream.rdbuf();
    return parseCases(text.str());
}

Case scaled(Case given, uint64_t divisor) {
    if (given.fixed) return given;
    given.n = std::max<uint64_t>(given.n / divisor, 1);
    if (given.parameters > 0) given.parameters = std::max<uint64_t>(given.parameters / divisor, 1);
    if (given.group == Group::TrainingStep) {
        const double root = std::sqrt(double(divisor));
        for (uint64_t* size : {&given.h, &given.w})
            if (*size > 32) *size = std::max<uint64_t>(uint64_t(double(*size) / root), 32);
    }
    return given;
}

std::vector<Case> selected(const std::vector<Case>& all, const std::string& only, bool onCpu) {
    std::vector<Case> made;
    std::copy_if(all.begin(), all.end(), std::back_inserter(made), [&](const Case& one) {
        return only.empty() ? onCpu || !one.cpuOnly : one.name.find(only) != std::string::npos;
    });
    return made;
}

std::vector<Case> reduced(const std::vector<Case>& all) {
    std::vector<Case> made;
    for (Case one : all) {
        if (one.group != Group::Copy) {
            if (one.mode != "fp32" || one.group == Group::MemoryBound ||
                one.group == Group::Update || one.group == Group::GramMatrix)
                continue;
            one.mode = "fp32_reduced";
        }
        made.push_back(one);
    }
    return made;
}

Work workOf(const Case& c) {
    const double element = double(c.elementBytes());
    const double source = double(c.n * c.h * c.w * c.ci);
    const double result = double(c.n * c.outputHeight() * c.outputWidth() * c.co);
    switch (c.group) {
    case Group::Copy: return {0, 2 * source * element};
    case Group::Convolution:
    case Group::ConvolutionTranspose:
    case Group::FullyConnected: {
        const double weights = double(c.co * (c.ci / c.groups) * c.k * c.k);
        // Gradients of weights are fp32 in every mode.
        const double weightBytes = weights * (c.pass == "weights_gradient" ? 4 : element);
        const double windows = c.group == Group::ConvolutionTranspose
                                   ? source * double(c.co / c.groups)
                                   : result * double(c.ci / c.groups);
        return {2 * windows * double(c.k * c.k), (source + result) * element + weightBytes};
    }
    case Group::MatrixProduct:
        return {2 * result * double(c.ci), (source + result + double(c.ci * c.co)) * element};
    case Group::MemoryBound:
        // The maximum's place and the dropout's mask take a byte per element.
        if (c.name.starts_with("pooling_max")) return {0, (source + result) * element + result};
        if (c.name.starts_with("pooling_average")) return {0, (source + result) * element};
        if (c.name.starts_with("dropout")) return {0, 2 * source * element + source};
        if ((c.name.starts_with("matrix_") || c.name.starts_with("instancenorm")) &&
            c.pass == "forward")
            return {0, 2 * source * element};
        // Source twice and result; source and gradient twice and result.
        if (c.name.starts_with("batchnorm"))
            return {0, (c.pass == "forward" ? 3 : 5) * source * element};
        if (c.name.starts_with("add_gradient_broadcast"))
            return {0, (source + double(c.n * c.ci)) * element};
        if (c.name.starts_with("upsample"))
            return {0, 5 * source * element}; // twice as wide and high
        return {0, 3 * source * element};
    case Group::Update: // reads gradient, values, moments; writes values, moments
        return {0, (c.name.starts_with("adam") ? 7 : 5) * double(c.parameters) * 4};
    case Group::GramMatrix:
        return {2 * source * double(c.ci),
                ((c.pass == "forward" ? 1 : 2) * source + double(c.n * c.ci * c.ci)) * element};
    case Group::TrainingStep: break;
    }
    return {};
}

} // namespace mpsvk::bench
