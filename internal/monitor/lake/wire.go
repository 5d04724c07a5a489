package lake

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/table"
)

// The protocol is HTTP/1.1 over the private socket. A POST to /append has batches, each
// with its length before it, a POST to /query the JSON of a Query; /seal has no body; a GET
// of /stats gives the JSON of Usage, of /ready nothing. An error is the JSON of Refusal.
const (
	PathAppend = "/append"
	PathQuery  = "/query"
	PathSeal   = "/seal"
	PathStats  = "/stats"
	PathReady  = "/ready"
)

// MaxAppend is the largest body of an append in bytes.
const MaxAppend = 64 << 20

// MaxAnswer is the largest body of an answer in bytes.
const MaxAnswer = 512 << 20

// Refusal is an error on the wire.
type Refusal struct {
	Kind    fault.Kind `json:"kind"`
	Message string     `json:"message"`
	Next    string     `json:"next,omitempty"`
	Cause   string     `json:"cause,omitempty"` // for the server's log
}

// Sent is a batch as it came, with its encoding.
type Sent struct {
	Batch *table.Batch
	Raw   []byte
}

// EncodeAppend returns the body of an append.
func EncodeAppend(batches []*table.Batch) []byte {
	var out, one []byte
	for _, b := range batches {
		one = table.Encode(one[:0], b)
		out = binary.AppendUvarint(out, uint64(len(one)))
		out = append(out, one...)
	}
	return out
}

// DecodeAppend reads the body of an append. The raw bytes alias it.
func DecodeAppend(body []byte) ([]Sent, error) {
	var out []Sent
	for len(body) > 0 {
		n, width := binary.Uvarint(body)
		if width <= 0 || n > uint64(len(body)-width) {
			return nil, table.ErrMalformed
		}
		raw := body[width : width+int(n)]
		body = body[width+int(n):]
		b, err := table.Decode(raw, table.Limits{})
		if err != nil {
			return nil, err
		}
		out = append(out, Sent{b, raw})
	}
	return out, nil
}

// answerHead stands before the batch of an answer.
type answerHead struct {
	Truncated bool  `json:"truncated"`
	Stats     Stats `json:"stats"`
}

// EncodeAnswer returns the body of an answer.
func EncodeAnswer(a *Answer) ([]byte, error) {
	head, err := json.Marshal(answerHead{a.Truncated, a.Stats})
	if err != nil {
		return nil, fmt.Errorf("encoding an answer: %w", err)
	}
	out := binary.AppendUvarint(nil, uint64(len(head)))
	return table.Encode(append(out, head...), a.Batch), nil
}

// DecodeAnswer reads the body of an answer.
func DecodeAnswer(body []byte) (*Answer, error) {
	n, width := binary.Uvarint(body)
	if width <= 0 || n > uint64(len(body)-width) {
		return nil, table.ErrMalformed
	}
	var head answerHead
	if err := json.Unmarshal(body[width:width+int(n)], &head); err != nil {
		return nil, fmt.Errorf("decoding an answer: %w", err)
	}
	b, err := table.Decode(body[width+int(n):], table.Limits{Rows: 1 << 24, Columns: 4096, Bytes: 4 * MaxAnswer})
	if err != nil {
		return nil, fmt.Errorf("decoding an answer: %w", err)
	}
	return &Answer{Batch: b, Truncated: head.Truncated, Stats: head.Stats}, nil
}

// away is the error of a call while the child process does not answer.
func away(err error) error {
	return fault.Wrap(fault.Unavailable, err, "The log engine does not answer at the moment; it is being started.").WithNext("try again in a few seconds")
}

// call makes a request and returns the body of the answer.
func (c *Client) call(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://lake"+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("asking the log engine: %w", err)
	}
	res, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("asking the log engine: %w", err)
		}
		return nil, away(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, MaxAnswer))
	if err != nil {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("asking the log engine: %w", err)
		}
		return nil, away(err)
	}
	if res.StatusCode == http.StatusOK {
		return b, nil
	}
	return nil, refused(res, b)
}

func refused(res *http.Response, body []byte) error {
	var r Refusal
	if err := json.Unmarshal(body, &r); err != nil || r.Kind == "" {
		return fmt.Errorf("asking the log engine: it answered %s", res.Status)
	}
	f := &fault.Error{Kind: r.Kind, Message: r.Message, Next: r.Next}
	if r.Cause != "" {
		f.Cause = errors.New(r.Cause)
	}
	if n, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil {
		f.After = time.Duration(n) * time.Second
	}
	return f
}

func (c *Client) append(ctx context.Context, batches []*table.Batch) error {
	body := EncodeAppend(batches)
	if len(body) > MaxAppend {
		return fault.New(fault.TooLarge, "The batches have %d bytes; the log engine takes %d at once.", len(body), MaxAppend)
	}
	_, err := c.call(ctx, http.MethodPost, PathAppend, body)
	return err
}

func (c *Client) query(ctx context.Context, q Query) (*Answer, error) {
	body, err := json.Marshal(q)
	if err != nil {
		return nil, fmt.Errorf("asking the log engine: %w", err)
	}
	b, err := c.call(ctx, http.MethodPost, PathQuery, body)
	if err != nil {
		return nil, err
	}
	return DecodeAnswer(b)
}

func (c *Client) stats(ctx context.Context) (*Usage, error) {
	b, err := c.call(ctx, http.MethodGet, PathStats, nil)
	if err != nil {
		return nil, err
	}
	u := &Usage{}
	if err := json.Unmarshal(b, u); err != nil {
		return nil, fmt.Errorf("reading the statistics of the log engine: %w", err)
	}
	return u, nil
}

func (c *Client) seal(ctx context.Context) error {
	_, err := c.call(ctx, http.MethodPost, PathSeal, nil)
	return err
}

// ready waits until the lake answers.
func (c *Client) ready(ctx context.Context) error {
	for {
		_, err := c.call(ctx, http.MethodGet, PathReady, nil)
		if err == nil {
			return nil
		}
		if err := c.keep.hopeless(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the log engine: %w", errors.Join(ctx.Err(), err))
		case <-time.After(20 * time.Millisecond):
		}
	}
}
