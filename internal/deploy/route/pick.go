package route

import "hash/fnv"

// spread is how finely weights divide values.
const spread = 10000

// Pick returns the track that answers for a sticky value: the same track for the same
// value while the weights stay. The canary grows from one end and the baseline from the
// other one, so that a value that has reached either stays there while their weights grow.
// A service whose table was not checked may have no track; then the zero Track is returned.
func (s Service) Pick(value string) Track {
	h := fnv.New64a()
	// A service's name goes in so that the same value falls differently at each service.
	_, _ = h.Write([]byte(s.Name))
	_, _ = h.Write([]byte{0})
	_, _ = h.Write([]byte(value))
	return s.at(int(mix(h.Sum64()) % spread))
}

// mix spreads the bits of a hash: FNV's low bits of short values are not even enough.
func mix(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// At returns the track at a point from 0 to 9999 of the weights: Pick for a request that
// sticks to nothing, with a random point.
func (s Service) At(point int) Track { return s.at(point) }

func (s Service) at(point int) Track {
	var last Track
	for _, step := range [...]func(string) bool{
		func(n string) bool { return n == Canary },
		func(n string) bool { return n != Canary && n != Baseline },
		func(n string) bool { return n == Baseline },
	} {
		for _, t := range s.Tracks {
			if !step(t.Name) || t.Weight == 0 {
				continue
			}
			last = t
			if point -= t.Weight * spread / 100; point < 0 {
				return t
			}
		}
	}
	return last
}
