package ingest_test

import (
	"testing"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/ingest"
)

func TestNobodyTakesAllLiveTails(t *testing.T) {
	w := build(nil)
	taken := 0
	for ; taken < 256; taken++ {
		if _, err := w.Watch(ingest.Filter{Project: "shop"}); err != nil {
			if !fault.Is(err, fault.Throttled) {
				t.Fatal(err)
			}
			break
		}
	}
	if taken != 32 {
		t.Errorf("one project has %d", taken)
	}
	for _, f := range []ingest.Filter{{Project: "blog"}, {All: true}} {
		if _, err := w.Watch(f); err != nil {
			t.Errorf("%+v: %v", f, err)
		}
	}
}
