// Command refusals shows what franz-go is told when it asks for what a node does not serve.
//
// Each attempt must end with an error that says why, within its limit: never with success, a hang, or an endless retry.
// Usage: refusals HOST:PORT
package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"
)

const (
	// An error that comes later than this is no answer at once.
	limit = 5 * time.Second
	// How long a client that got no answer is left alone before it counts as hanging.
	patience = 15 * time.Second
)

var failed = false

// refused runs attempt with a client of these options; the error must say words and come soon.
func refused(name, words string, attempt func(context.Context, *kgo.Client) error, options ...kgo.Opt) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	began := time.Now()
	client, err := kgo.NewClient(append(options, kgo.SeedBrokers(os.Args[1]))...)
	if err == nil {
		err = attempt(ctx, client)
		client.Close()
	}
	took := time.Since(began)
	ok := err != nil && ctx.Err() == nil && took <= limit && strings.Contains(err.Error(), words)
	verdict := "ok   "
	if !ok {
		verdict, failed = "FAIL ", true
	}
	fmt.Printf("%s franz-go, %s: %v (%d ms)\n", verdict, name, err, took.Milliseconds())
}

func poll(ctx context.Context, client *kgo.Client) error {
	for ctx.Err() == nil {
		if err := client.PollFetches(ctx).Err(); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func transaction(ctx context.Context, client *kgo.Client) error {
	if err := client.BeginTransaction(); err != nil {
		return err
	}
	return produce(ctx, client)
}

// fallsBack shows that a consumer that asks for the new protocol works in a classic group, as franz-go chooses then.
func fallsBack() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(os.Args[1]), kgo.AllowAutoTopicCreation(), kgo.ConsumerGroup("refusals-next"),
		kgo.ConsumeTopics("refusals-next"), kgo.ServerSideBalancer())
	if err == nil {
		defer client.Close()
		err = client.ProduceSync(ctx, &kgo.Record{Topic: "refusals-next", Value: []byte("v")}).FirstErr()
	}
	records := 0
	for err == nil && records == 0 {
		fetches := client.PollFetches(ctx)
		records, err = fetches.NumRecords(), fetches.Err()
	}
	if err != nil {
		failed = true
		fmt.Printf("FAIL  franz-go, the consumer protocol: no record in a classic group: %v\n", err)
		return
	}
	fmt.Println("ok    franz-go, the consumer protocol: falls back to a classic group, which works")
}

func produce(ctx context.Context, client *kgo.Client) error {
	return client.ProduceSync(ctx, &kgo.Record{Topic: "refusals", Value: []byte("v")}).FirstErr()
}

func ping(ctx context.Context, client *kgo.Client) error { return client.Ping(ctx) }

func main() {
	fallsBack()
	refused("transactions", "CLUSTER_AUTHORIZATION_FAILED", transaction, kgo.TransactionalID("refusals"))
	refused("share groups", "", poll, kgo.ShareGroup("refusals-share"), kgo.ConsumeTopics("refusals-next"))
	refused("SASL", "", ping, kgo.SASL(plain.Auth{User: "a", Pass: "b"}.AsMechanism()))
	refused("SSL", "client is using TLS when the broker is not expecting it", ping, kgo.DialTLSConfig(&tls.Config{InsecureSkipVerify: true}))
	if failed {
		os.Exit(1)
	}
}
