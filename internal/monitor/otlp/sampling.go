package otlp

import (
	"math"
	"strconv"
	"strings"
)

// maxWeight bounds for how many spans one may stand: a sender cannot make a million
// requests out of one.
const maxWeight = 1_000_000

// itemCount returns for how many spans a sampled one stands: by the rejection threshold
// of its trace state (OpenTelemetry, "TraceState: Probability Sampling": "th", before that
// "p"), else by the attributes that say the share.
func itemCount(state, rate, probability string) int64 {
	share := stateShare(state)
	if share == 0 {
		if x, err := strconv.ParseFloat(probability, 64); err == nil {
			share = x
		} else if x, err := strconv.ParseFloat(rate, 64); err == nil {
			share = x / 100
		}
	}
	if !(share > 0 && share < 1) {
		return 1
	}
	return int64(min(maxWeight, math.Round(1/share)))
}

// stateShare reads the share out of a trace state, 0 when it tells none.
func stateShare(state string) float64 {
	for member := range strings.SplitSeq(state, ",") {
		value, ok := strings.CutPrefix(strings.TrimSpace(member), "ot=")
		if !ok {
			continue
		}
		for field := range strings.SplitSeq(value, ";") {
			if th, ok := strings.CutPrefix(field, "th:"); ok {
				return thresholdShare(th)
			}
			if p, ok := strings.CutPrefix(field, "p:"); ok {
				if n, err := strconv.ParseUint(p, 10, 8); err == nil && n < 63 {
					return math.Exp2(-float64(n))
				}
			}
		}
	}
	return 0
}

// thresholdShare is the share that a threshold of up to 14 hexadecimal digits lets through.
func thresholdShare(digits string) float64 {
	if len(digits) == 0 || len(digits) > 14 {
		return 0
	}
	n, err := strconv.ParseUint(digits, 16, 64)
	if err != nil {
		return 0
	}
	threshold := n << (4 * (14 - len(digits)))
	return 1 - float64(threshold)/float64(uint64(1)<<56)
}
