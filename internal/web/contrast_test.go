package web_test

import (
	"math"
	"os"
	"regexp"
	"strconv"
	"testing"
)

var (
	themes = regexp.MustCompile(`(?s):root \{(.*?)\n\}|:root\[data-theme=dark\] \{(.*?)\}`)
	tokens = regexp.MustCompile(`--([a-z0-9-]+): (#[0-9a-f]{6})`)
)

// luminance is the relative luminance of a colour (WCAG 2.2).
func luminance(t *testing.T, hex string) float64 {
	n, err := strconv.ParseUint(hex[1:], 16, 32)
	if err != nil {
		t.Fatal(err)
	}
	var l float64
	for i, weight := range []float64{.2126, .7152, .0722} {
		c := float64(n>>(16-8*i)&255) / 255
		if c <= .04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+.055)/1.055, 2.4)
		}
		l += weight * c
	}
	return l
}

// TestContrast checks that every colour of text reads on every ground that it stands on:
// 4.5 to 1, level AA of WCAG 2.2.
func TestContrast(t *testing.T) {
	css, err := os.ReadFile("assets/towpath.css")
	if err != nil {
		t.Fatal(err)
	}
	found := themes.FindAllSubmatch(css, -1)
	if len(found) != 2 {
		t.Fatalf("%d themes in the style", len(found))
	}
	grounds := []string{"bg", "panel", "sunken", "accent-soft", "open-soft", "pass-soft", "held-soft", "shut-soft"}
	for i, name := range []string{"light", "dark"} {
		colour := map[string]float64{}
		for _, m := range tokens.FindAllSubmatch(append(found[i][1], found[i][2]...), -1) {
			colour[string(m[1])] = luminance(t, string(m[2]))
		}
		for _, pair := range [][]string{
			append([]string{"ink"}, grounds...), append([]string{"ink-2"}, grounds...), append([]string{"ink-3"}, grounds...), {"accent-ink", "bg", "panel", "sunken", "accent-soft"},
			{"open", "bg", "panel", "sunken", "open-soft"}, {"pass", "bg", "panel", "sunken", "pass-soft", "accent-soft"}, {"held", "bg", "panel", "sunken", "held-soft"},
			{"shut", "bg", "panel", "sunken", "shut-soft"}, {"x-key", "panel"}, {"x-str", "panel"}, {"x-num", "panel"}, {"x-com", "panel", "open-soft", "shut-soft"}, {"x-fn", "panel"},
			{"a-red", "panel", "shut-soft"}, {"a-green", "panel"}, {"a-yellow", "panel", "held-soft"}, {"a-blue", "panel"}, {"a-magenta", "panel"}, {"a-cyan", "panel"},
		} {
			text, ok := colour[pair[0]]
			if !ok {
				t.Fatalf("%s: no colour %s", name, pair[0])
			}
			for _, ground := range pair[1:] {
				light, dark := max(text, colour[ground]), min(text, colour[ground])
				if ratio := (light + .05) / (dark + .05); ratio < 4.5 {
					t.Errorf("%s: %s on %s has %.2f to 1", name, pair[0], ground, ratio)
				}
			}
		}
	}
}
