package canary

// Bursts tells how unevenly the slow requests fell on the two tracks from one measurement to
// the next. Requests that are slow at the same moment on the same node are slow for one
// reason: to count each as a witness of its own makes a difference out of a stall that hit
// one pod and not the other.
type Bursts struct {
	Looks    int     `json:"looks"`   // measurements that saw slow requests
	Of       int64   `json:"of"`      // slow requests of the canary
	All      int64   `json:"all"`     // of both
	Squares  float64 `json:"squares"` // sum over the looks of of²/all
	Canary   Tally   `json:"canary"`  // seen at the last look
	Baseline Tally   `json:"baseline"`
}

// minLooks is how many measurements must have seen slow requests before times can reject a
// canary: what was seen once cannot be told from a stall.
const minLooks = 3

// burstPrior is added to the statistic: of few looks the dispersion cannot be known, and is
// taken to be large. TestStalls says what it is chosen by: clean trials in which pods stand
// still now and then are rejected in less than one of a hundred cases, at any length.
const burstPrior = 20

// look takes what was seen since the look before.
func (b *Bursts) look(canary, baseline Tally, limit float64) {
	of := canary.Minus(b.Canary).above(limit)
	all := of + baseline.Minus(b.Baseline).above(limit)
	b.Canary, b.Baseline = canary.Minus(Tally{}), baseline.Minus(Tally{}) // copies: the caller counts on
	if all <= 0 || of < 0 || of > all {
		return // nothing was slow, or a router began to count anew
	}
	b.Looks++
	b.Of, b.All = b.Of+of, b.All+all
	b.Squares += float64(of) * float64(of) / float64(all)
}

// discount divides the evidence (a logarithm) by how much more the canary's share of the slow
// requests differs between the looks than it does by chance: Pearson's statistic over its
// degrees of freedom, the dispersion of quasi-likelihood (McCullagh and Nelder, Generalized
// Linear Models, section 4.5). A canary that is slow all the time loses nothing by it.
func (b *Bursts) discount(evidence float64) float64 {
	if b.Looks < minLooks {
		return 0
	}
	share := (float64(b.Of) + 0.5) / (float64(b.All) + 1)
	statistic := (b.Squares - float64(b.Of)*float64(b.Of)/float64(b.All)) / (share * (1 - share))
	return evidence / max(1, (statistic+burstPrior)/float64(b.Looks-1))
}
