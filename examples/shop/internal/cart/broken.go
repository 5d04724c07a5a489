package cart

import (
	"math/rand/v2"
	"net/http"

	"shop/internal/rest"
)

// Broken makes a share of the requests for a cart (GET /v1/carts/{id}) fail, from 0 to 1: the regression that a canary is to find.
// The tests of the shop do not see it, as those of a real regression would not.
func Broken(share float64) Option {
	return func(s *server) {
		s.read = func() error {
			if rand.Float64() < share {
				return rest.Errorf(http.StatusInternalServerError, "the cart lost its lines")
			}
			return nil
		}
	}
}

// Option changes what Handler serves.
type Option func(*server)
