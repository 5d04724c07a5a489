package catalog_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"shop/internal/catalog"
	"shop/internal/catalog/catalogpb"
	"shop/internal/hop"
	"shop/internal/pricing"
)

func skus(products []*catalogpb.Product) []string {
	var out []string
	for _, p := range products {
		out = append(out, p.GetSku())
	}
	return out
}

func TestSearch(t *testing.T) {
	tests := []struct {
		name, query string
		want        []string
	}{
		{"a word of the name before tags", "rope", []string{"rope-12", "fender-rope"}},
		{"any case", "WINDLASS", []string{"windlass"}},
		{"the beginning of a word", "lan", []string{"lantern-brass", "bell-brass"}}, // Lantern in a name, lanyard in a blurb
		{"not the middle of a word", "ope", nil},
		{"every word must match", "brass light", []string{"lantern-brass"}},
		{"one word that nothing has", "rope submarine", nil},
		{"punctuation divides words", "rope,12", []string{"rope-12"}},
		{"a tag", "mooring", []string{"pin-mooring", "rope-12"}},
		{"no letters at all", " ,- ", skus(catalog.Stock())},
		{"nothing asked", "", skus(catalog.Stock())},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := skus(catalog.Stock().Search(tt.query)); !slices.Equal(got, tt.want) {
				t.Errorf("%q: got %v, want %v", tt.query, got, tt.want)
			}
		})
	}
}

func TestStockIsSound(t *testing.T) {
	form, prices, seen := regexp.MustCompile(`^[a-z]+(-[a-z0-9]+)*$`), pricing.List(), map[string]bool{}
	for _, p := range catalog.Stock() {
		if !form.MatchString(p.GetSku()) || seen[p.GetSku()] {
			t.Errorf("the SKU %q is malformed or there twice", p.GetSku())
		}
		seen[p.GetSku()] = true
		if _, ok := prices[p.GetSku()]; !ok {
			t.Errorf("%s has no price", p.GetSku())
		}
		if p.GetName() == "" || p.GetBlurb() == "" || p.GetUnit() == "" || p.GetPicture() == "" {
			t.Errorf("%s lacks a text: %v", p.GetSku(), p)
		}
	}
	for sku := range prices {
		if !seen[sku] {
			t.Errorf("%s has a price but is not on the shelf", sku)
		}
	}
}

func TestServer(t *testing.T) {
	server := catalog.NewServer(hop.Self{Service: "catalog", Build: "b1"}, catalog.Stock())
	got, err := server.Search(t.Context(), &catalogpb.SearchRequest{Query: "bell"})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(skus(got.GetProducts()), []string{"bell-brass"}) || got.GetServedBy().GetBuild() != "b1" {
		t.Errorf("got %v", got)
	}
	_, err = server.Search(t.Context(), &catalogpb.SearchRequest{Query: strings.Repeat("x", 201)})
	if status.Code(err) != codes.InvalidArgument {
		t.Errorf("a query of 201 bytes: got %v, want InvalidArgument", err)
	}
}
