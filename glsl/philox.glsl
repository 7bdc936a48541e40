// Philox4x32-10: four random words for each counter and key (Salmon et al., 2011).
#ifndef MPSVK_PHILOX_GLSL
#define MPSVK_PHILOX_GLSL

uvec4 philox(uvec4 counter, uvec2 key) {
    for (int round = 0; round < 10; ++round) {
        uint highA, lowA, highB, lowB;
        umulExtended(0xD2511F53u, counter.x, highA, lowA);
        umulExtended(0xCD9E8D57u, counter.z, highB, lowB);
        counter = uvec4(highB ^ counter.y ^ key.x, lowB, highA ^ counter.w ^ key.y, lowA);
        key += uvec2(0x9E3779B9u, 0xBB67AE85u);
    }
    return counter;
}

#endif
