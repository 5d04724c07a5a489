package cart

import (
	"container/list"
	"net/http"
	"slices"
	"sync"

	"shop/internal/pricing"
	"shop/internal/rest"
)

// Store holds carts by id. It is safe for concurrent use.
type Store struct {
	limit int

	mu    sync.Mutex
	carts map[string]*list.Element
	order *list.List // of *entry, most recently changed first
}

// entry is one cart; its lines are in the order in which products were first added.
type entry struct {
	id    string
	lines []pricing.Line
}

// NewStore returns a store for at most limit carts, which must be above zero.
func NewStore(limit int) *Store {
	return &Store{limit: limit, carts: map[string]*list.Element{}, order: list.New()}
}

// Lines returns the lines of a cart; an unknown cart has none.
func (s *Store) Lines(id string) []pricing.Line {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at, ok := s.carts[id]; ok {
		return slices.Clone(at.Value.(*entry).lines)
	}
	return nil
}

// Add puts more pieces of a product into a cart. A quantity below 1, a line that would pass 999 pieces and a 51st line are
// refused with status 400, and the cart stays as it was.
func (s *Store) Add(id string, more pricing.Line) error {
	if more.Quantity < 1 {
		return rest.Errorf(http.StatusBadRequest, "the quantity to add must be 1 or more")
	}
	return s.change(id, more.SKU, func(have int) int { return have + more.Quantity })
}

// Set makes the quantity of a product exactly that of line; zero takes the product out.
func (s *Store) Set(id string, line pricing.Line) error {
	if line.Quantity < 0 {
		return rest.Errorf(http.StatusBadRequest, "the quantity must be 0 or more")
	}
	return s.change(id, line.SKU, func(int) int { return line.Quantity })
}

func (s *Store) change(id, sku string, next func(have int) int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var lines []pricing.Line
	if at, ok := s.carts[id]; ok {
		lines = at.Value.(*entry).lines
	}
	at := slices.IndexFunc(lines, func(l pricing.Line) bool { return l.SKU == sku })
	have := 0
	if at >= 0 {
		have = lines[at].Quantity
	}
	want := next(have)
	switch {
	case want > pricing.MaxQuantity:
		return rest.Errorf(http.StatusBadRequest, "a cart holds at most %d pieces of one product", pricing.MaxQuantity)
	case want == 0 && at < 0:
		return nil
	case want == 0:
		lines = slices.Delete(slices.Clone(lines), at, at+1)
	case at >= 0:
		lines[at].Quantity = want
	case len(lines) == pricing.MaxLines:
		return rest.Errorf(http.StatusBadRequest, "a cart holds at most %d different products", pricing.MaxLines)
	default:
		lines = append(lines, pricing.Line{SKU: sku, Quantity: want})
	}
	s.keep(id, lines)
	return nil
}

// keep stores lines as the newest cart and forgets the oldest one if there are too many.
func (s *Store) keep(id string, lines []pricing.Line) {
	if at, ok := s.carts[id]; ok {
		at.Value.(*entry).lines = lines
		s.order.MoveToFront(at)
		return
	}
	s.carts[id] = s.order.PushFront(&entry{id: id, lines: lines})
	if s.order.Len() > s.limit {
		oldest := s.order.Remove(s.order.Back()).(*entry)
		delete(s.carts, oldest.id)
	}
}
