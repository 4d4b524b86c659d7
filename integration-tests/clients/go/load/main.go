// Command load is franz-go under load: it produces at a rate, or consumes, until it is ended. See scripts/bench-clients.
//
//	load produce|consume BOOTSTRAP TOPIC RECORD_BYTES RECORDS_PER_SECOND
//
// A rate of 0 is as fast as it goes. Ends on SIGTERM and prints how many records it was.
package main

import (
	"context"
	"fmt"
	"log"
	"math/rand"
	"os"
	"os/signal"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

func main() {
	if len(os.Args) != 6 {
		log.Fatal("usage: load produce|consume BOOTSTRAP TOPIC RECORD_BYTES RECORDS_PER_SECOND")
	}
	bootstrap, topic := os.Args[2], os.Args[3]
	recordBytes, rate := number(os.Args[4]), number(os.Args[5])
	over, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	options := []kgo.Opt{kgo.SeedBrokers(bootstrap), kgo.DefaultProduceTopic(topic), kgo.MaxBufferedRecords(100_000)}
	if os.Args[1] == "consume" {
		options = append(options, kgo.ConsumeTopics(topic), kgo.ConsumerGroup(topic),
			kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	} else {
		// The sticky partitioner's default fills one batch after the other.
		options = append(options, kgo.ProducerLinger(5*time.Millisecond), kgo.ProducerBatchCompression(kgo.NoCompression()))
	}
	client, err := kgo.NewClient(options...)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	if os.Args[1] == "consume" {
		consume(over, client)
	} else {
		produce(over, client, recordBytes, rate)
	}
}

func number(word string) int {
	value, err := strconv.Atoi(word)
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func produce(over context.Context, client *kgo.Client, recordBytes, rate int) {
	value := make([]byte, recordBytes)
	for at := range value {
		value[at] = byte(rand.Intn(256))
	}
	var failed atomic.Int64
	began, sent := time.Now(), 0
	for over.Err() == nil {
		due := sent + 1000
		if rate > 0 {
			due = int(time.Since(began).Seconds() * float64(rate))
		}
		for ; sent < due; sent++ {
			client.Produce(context.Background(), &kgo.Record{Value: value}, func(_ *kgo.Record, err error) {
				if err != nil {
					failed.Add(1)
				}
			})
		}
		if rate > 0 {
			time.Sleep(10 * time.Millisecond)
		}
	}
	if err := client.Flush(context.Background()); err != nil || failed.Load() > 0 {
		log.Fatalf("%d of %d records failed: %v", failed.Load(), sent, err)
	}
	fmt.Printf("%d records\n", sent)
}

func consume(over context.Context, client *kgo.Client) {
	read := 0
	for over.Err() == nil {
		fetches := client.PollFetches(over)
		for _, failure := range fetches.Errors() {
			if over.Err() == nil {
				log.Fatal(failure.Err)
			}
		}
		read += fetches.NumRecords()
	}
	fmt.Printf("%d records\n", read)
}
