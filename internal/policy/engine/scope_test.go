package engine

import (
	"testing"

	"towpath.dev/towpath/internal/policy/rule"
)

func TestScopesHoldInPlaces(t *testing.T) {
	at := func(environment string) rule.Place {
		return rule.Place{Cluster: "towpath", Namespace: "n", Project: "shop", Environment: environment}
	}
	of := func(name string) rule.Scope { return rule.Scope{Kind: rule.Environment, Name: name} }
	for _, c := range []struct {
		name  string
		scope rule.Scope
		place rule.Place
		wide  bool
		want  bool
	}{
		{"itself", of("shop/review"), at("review"), false, true},
		{"another", of("shop/review"), at("production"), false, false},
		{"another project", of("other/review"), at("review"), false, false},
		{"its review app", of("shop/review"), at("review.web-pr-7"), false, true},
		{"a review app alone", of("shop/review.web-pr-7"), at("review.web-pr-7"), false, true},
		{"not the other way round", of("shop/review.web-pr-7"), at("review"), false, false},
		{"a review app of another", of("shop/rev"), at("review.web-pr-7"), false, false},
		{"nobody's", of("shop/"), at(""), false, false},
		{"without a namespace", of("shop/review"), at("review.web-pr-7"), true, false},
		{"of the project", rule.Scope{Kind: rule.Project, Name: "shop"}, at("review.web-pr-7"), false, true},
		{"of the platform", rule.Scope{Kind: rule.Platform}, at("review.web-pr-7"), true, true},
	} {
		if got := Holds(c.scope, c.place, c.wide); got != c.want {
			t.Errorf("%s: %t, want %t", c.name, got, c.want)
		}
	}
}
