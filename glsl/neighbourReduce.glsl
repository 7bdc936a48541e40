// TYPE NAME(TYPE own): over 2^BITS neighbours of a workgroup of SIZE invocations, the same in each of
// them. In two steps of about equal length, which take fewer barriers than a tree. All of the workgroup
// must call.
#define NEIGHBOUR_REDUCE(TYPE, NAME, COMBINE, SIZE, BITS)                                          \
    shared TYPE NAME##Parts[SIZE];                                                                 \
    TYPE NAME(TYPE own) {                                                                          \
        if (BITS == 0u) return own;                                                                \
        const uint lanes = 1u << BITS, halfway = 1u << (BITS / 2u);                                \
        uint i = gl_LocalInvocationIndex, lane = i & (lanes - 1u), first = i - lane;               \
        NAME##Parts[i] = own;                                                                      \
        barrier();                                                                                 \
        if (lane < halfway) {                                                                      \
            for (uint other = halfway; other < lanes; other += halfway)                            \
                own = COMBINE(own, NAME##Parts[i + other]);                                        \
            NAME##Parts[i] = own;                                                                  \
        }                                                                                          \
        barrier();                                                                                 \
        TYPE all = NAME##Parts[first];                                                             \
        for (uint other = 1u; other < halfway; ++other)                                            \
            all = COMBINE(all, NAME##Parts[first + other]);                                        \
        barrier();                                                                                 \
        return all;                                                                                \
    }

float plus(float a, float b) { return a + b; }
