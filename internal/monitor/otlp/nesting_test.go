package otlp_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// raw sends bytes as they are.
type raw struct{}

func (raw) Name() string { return "proto" }

func (raw) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}

func (raw) Unmarshal(mem.BufferSlice, any) error { return nil }

var _ encoding.CodecV2 = raw{}

func TestPitsAreRefusedBeforeTheyAreDecoded(t *testing.T) {
	w := build(t, nil)
	inJSON := `{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":` + strings.Repeat(`{"arrayValue":{"values":[`, 3000) + `{"boolValue":true}` + strings.Repeat(`]}}`, 3000) + `}]}]}]}`
	for name, body := range map[string][]byte{"protobuf": nested(3000), "after a group": append([]byte{0x0b}, nested(3000)...), "json": []byte(inJSON)} {
		h := pod(shop())
		if name == "json" {
			h["Content-Type"] = "application/json"
		}
		if res, text := post(t, w, body, h); res.StatusCode != http.StatusBadRequest || !strings.Contains(text, "nested deeper") {
			t.Errorf("%s: %s %q", name, res.Status, text)
		}
	}
	if res, text := post(t, w, nested(12), pod(shop())); res.StatusCode != http.StatusOK {
		t.Errorf("what may be: %s %q", res.Status, text)
	}
	c, err := grpc.NewClient(w.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx := metadata.NewOutgoingContext(soon(t), metadata.New(pod(shop())))
	const export = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
	if err := c.Invoke(ctx, export, nested(3000), nil, grpc.ForceCodecV2(raw{})); err == nil || !strings.Contains(err.Error(), "nested deeper") {
		t.Errorf("gRPC: %v", err)
	}
	if err := c.Invoke(ctx, export, nested(12), nil, grpc.ForceCodecV2(raw{})); err != nil {
		t.Errorf("gRPC, what may be: %v", err)
	}
}

// untouched fails when it is read.
type untouched struct{ t *testing.T }

func (u untouched) Read([]byte) (int, error) {
	u.t.Error("the body of a stranger was read")
	return 0, errors.New("not to be read")
}

func TestBodiesOfStrangersAreNotRead(t *testing.T) {
	w := build(t, nil)
	for name, h := range map[string]map[string]string{"nobody": nil, "a wrong token": user("wrong", "shop")} {
		r, err := http.NewRequestWithContext(soon(t), http.MethodPost, w.http+"/v1/logs", io.MultiReader(untouched{t}))
		if err != nil {
			t.Fatal(err)
		}
		r.Header = header(with(h, "Content-Type", "application/x-protobuf", "Expect", "100-continue"))
		res, err := (&http.Client{Transport: &http.Transport{ExpectContinueTimeout: 20 * time.Second}}).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: %s", name, res.Status)
		}
	}
	c, err := grpc.NewClient(w.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	// What is no message at all tells that it was not looked at.
	ctx := metadata.NewOutgoingContext(soon(t), metadata.New(user("wrong", "shop")))
	err = c.Invoke(ctx, "/opentelemetry.proto.collector.logs.v1.LogsService/Export", []byte{0xff}, nil, grpc.ForceCodecV2(raw{}))
	if status.Code(err) != codes.Unauthenticated {
		t.Errorf("gRPC: %v", err)
	}
}
