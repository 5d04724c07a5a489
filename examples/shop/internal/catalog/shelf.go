package catalog

import (
	"slices"
	"strings"
	"unicode"

	"shop/internal/catalog/catalogpb"
)

// Shelf is a list of products in display order.
type Shelf []*catalogpb.Product

// Stock returns what the shop sells.
func Stock() Shelf {
	return Shelf{
		{Sku: "rope-12", Name: "Three-strand rope, 12 mm", Blurb: "Soft-laid polyester that coils flat and holds a knot when wet.", Unit: "metre", Picture: "rope", Tags: []string{"mooring", "line", "warp"}},
		{Sku: "lantern-brass", Name: "Cabin lantern", Blurb: "Solid brass, a glass chimney, and a hook for the deckhead.", Unit: "each", Picture: "lantern", Tags: []string{"light", "lamp", "oil", "brass"}},
		{Sku: "paint-bridge-green", Name: "Coach enamel, bridge green", Blurb: "Two coats to a deep gloss; made for brushes and patience.", Unit: "tin", Picture: "paint", Tags: []string{"paint", "enamel", "gloss", "hull"}},
		{Sku: "fender-rope", Name: "Bow fender", Blurb: "Hand-laid rope over a soft core, with a loop at either end.", Unit: "each", Picture: "fender", Tags: []string{"bow", "bumper", "rope"}},
		{Sku: "windlass", Name: "Lock windlass", Blurb: "Forged, double-headed, and light enough for a long flight.", Unit: "each", Picture: "windlass", Tags: []string{"lock", "key", "paddle", "iron"}},
		{Sku: "pin-mooring", Name: "Mooring pin with loop", Blurb: "Drives into hard banks. The loop takes a line of up to 16 mm.", Unit: "each", Picture: "pin", Tags: []string{"mooring", "stake", "iron"}},
		{Sku: "ring-life", Name: "Life ring", Blurb: "Closed-cell foam, 60 cm across, and a grab line all around.", Unit: "each", Picture: "ring", Tags: []string{"safety", "buoy"}},
		{Sku: "kettle-painted", Name: "Painted kettle", Blurb: "Enamelled steel with roses on one side and a castle on the other.", Unit: "each", Picture: "kettle", Tags: []string{"galley", "tea", "roses", "castles"}},
		{Sku: "bell-brass", Name: "Tunnel bell", Blurb: "Heard before you are seen. Cast brass, with a lanyard.", Unit: "each", Picture: "bell", Tags: []string{"brass", "signal", "tunnel"}},
	}
}

// Search returns the products that match every word of the query. A word matches where a word of the name, a tag or the blurb
// begins with it, whatever the case. Matches in the name come before matches elsewhere. No words match everything.
func (s Shelf) Search(query string) []*catalogpb.Product {
	words := split(query)
	type hit struct {
		product *catalogpb.Product
		score   int
	}
	var hits []hit
	for _, p := range s {
		if score, ok := match(p, words); ok {
			hits = append(hits, hit{p, score})
		}
	}
	slices.SortStableFunc(hits, func(a, b hit) int { return b.score - a.score })
	found := make([]*catalogpb.Product, 0, len(hits))
	for _, h := range hits {
		found = append(found, h.product)
	}
	return found
}

// match says whether every word is found in the product, and how well: three points for the name, two for a tag, one for the blurb.
func match(p *catalogpb.Product, words []string) (int, bool) {
	name, tags, blurb := split(p.GetName()), split(strings.Join(p.GetTags(), " ")), split(p.GetBlurb())
	score := 0
	for _, word := range words {
		begins := func(have string) bool { return strings.HasPrefix(have, word) }
		switch {
		case slices.ContainsFunc(name, begins):
			score += 3
		case slices.ContainsFunc(tags, begins):
			score += 2
		case slices.ContainsFunc(blurb, begins):
			score++
		default:
			return 0, false
		}
	}
	return score, true
}

// split returns the words of a text in lower case; letters and digits make words, everything else divides them.
func split(text string) []string {
	return strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
}
