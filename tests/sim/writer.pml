/* SPDX-License-Identifier: Apache-2.0
 * The path of a mutation: core -> queue -> writer -> journal -> tables -> acknowledgement -> core,
 * with the sleep and wake-up handshake of src/base/waker.h in both directions.
 *
 * What is modelled: the queues of src/base/spsc.h (positions published by one side, read by the
 * other), an eventfd per consumer, and a store buffer per thread, so that a store may become
 * visible after a later load. That reordering is the one the fences exist for; release and acquire
 * already forbid the others. A thread reads its own positions from locals, as the code does.
 *
 * What must hold: every change is acknowledged or refused (a lost wake-up is a deadlock, which the
 * verifier reports as an invalid end state), an item is read as it was written, and when a core
 * sees an acknowledgement the change is durable and visible to all.
 *
 * The variants marked "refuted" each leave out one thing the code does. The verifier must find the
 * error in each of them: a model that cannot fail proves nothing.
 *
 *   spin: as-written holds
 *   spin: writer-does-not-recheck refuted -DNO_RECHECK
 *   spin: producer-without-fence refuted -DNO_PRODUCER_FENCE
 *   spin: consumer-without-fence refuted -DNO_CONSUMER_FENCE
 *   spin: acknowledged-before-sync refuted -DACK_BEFORE_SYNC
 *   spin: acknowledged-before-publish refuted -DACK_BEFORE_PUBLISH
 *   spin: flag-before-push refuted -DNOTIFY_BEFORE_PUSH
 */
#define CORES    2
#define CHANGES  2 /* each core sends this many */
#define CAPACITY 1 /* of a queue to the writer: smaller than CHANGES, so that it also fills */
#define WRITER   CORES

/* The shared words, by index into mem[]. */
#define TAIL(c)     (c)             /* written by core c */
#define HEAD(c)     (CORES + c)     /* written by the writer */
#define ACKED(c)    (2 * CORES + c) /* tail of the acknowledgement queue: written by the writer */
#define SLEEPING(t) (3 * CORES + t) /* written by its owner, and by the exchange in notify */
#define SLOT(c)     (4 * CORES + 1 + c)
#define WORDS       (5 * CORES + 1)

byte mem[WORDS];
byte eventfd[CORES + 1];

/* The world outside memory: the journal and what readers can look up, by core. */
byte appended[CORES];
byte durable[CORES];
byte visible[CORES];

chan buffer[CORES + 1] = [4] of {byte, byte};

inline store(thread, word, value)
{
    buffer[thread] ! word, value
}

inline fence(thread)
{
    (empty(buffer[thread]))
}

/* The buffer of each thread drains in order, at any time. */
proctype drain(byte thread)
{
    byte word, value;
end:
    do
    :: atomic {
           buffer[thread] ? word, value;
           mem[word] = value
       }
    od
}

inline notify(thread, target)
{
#ifndef NO_PRODUCER_FENCE
    fence(thread);
#endif
    if
    :: mem[SLEEPING(target)] ->
           /* The exchange: an atomic read-modify-write acts on memory itself. */
           atomic {
               fence(thread);
               if
               :: mem[SLEEPING(target)] ->
                      mem[SLEEPING(target)] = 0;
                      eventfd[target]++
               :: else
               fi
           }
    :: else
    fi
}

inline prepare(thread)
{
    store(thread, SLEEPING(thread), 1);
#ifndef NO_CONSUMER_FENCE
    fence(thread)
#endif
}

proctype core(byte me)
{
    byte tail = 0;     /* changes pushed */
    byte ack_head = 0; /* acknowledgements taken */
    byte refused = 0;

    do
    :: tail + refused < CHANGES ->
           /* A full queue is answered 503 at once: a core never waits for room. */
           if
           :: tail - mem[HEAD(me)] < CAPACITY ->
#ifdef NOTIFY_BEFORE_PUSH
                  notify(me, WRITER);
#endif
                  store(me, SLOT(me), tail + 1);
                  store(me, TAIL(me), tail + 1);
                  tail++;
#ifndef NOTIFY_BEFORE_PUSH
                  notify(me, WRITER)
#endif
           :: else -> refused++
           fi
    :: ack_head < mem[ACKED(me)] ->
           ack_head++;
           assert(durable[me] >= ack_head);
           assert(visible[me] >= ack_head)
    :: tail + refused == CHANGES && ack_head == tail -> break
    :: tail + refused == CHANGES && ack_head < tail && ack_head == mem[ACKED(me)] ->
           prepare(me);
           if
           :: ack_head == mem[ACKED(me)] -> atomic { eventfd[me] > 0 -> eventfd[me] = 0 }
           :: else
           fi;
           store(me, SLEEPING(me), 0)
    od;
    assert(ack_head + refused == CHANGES)
}

inline take(c)
{
    do
    :: head[c] < mem[TAIL(c)] ->
           assert(mem[SLOT(c)] == head[c] + 1); /* read as written: spsc.h I2, I3 */
           head[c]++;
           store(WRITER, HEAD(c), head[c]);
           batch++
    :: else -> break
    od
}

inline append()
{
    d_step { appended[0] = head[0]; appended[1] = head[1] }
}

inline sync()
{
    d_step { durable[0] = appended[0]; durable[1] = appended[1] }
}

inline publish()
{
    d_step { visible[0] = head[0]; visible[1] = head[1] }
}

inline acknowledge(c)
{
    if
    :: head[c] > acked[c] ->
           acked[c] = head[c];
           store(WRITER, ACKED(c), acked[c]);
           notify(WRITER, c)
    :: else
    fi
}

inline acknowledge_all()
{
    acknowledge(0);
    acknowledge(1)
}

inline commit()
{
    append();
#ifdef ACK_BEFORE_SYNC
    acknowledge_all();
#endif
    sync();
#ifdef ACK_BEFORE_PUBLISH
    acknowledge_all();
#endif
    publish();
    acknowledge_all()
}

proctype writer()
{
    byte head[CORES];
    byte acked[CORES];
    byte batch;

    do
    :: batch = 0;
       take(0);
       take(1);
       if
       :: batch > 0 -> commit()
       :: else ->
              prepare(WRITER);
              if
#ifndef NO_RECHECK
              :: mem[TAIL(0)] != head[0] || mem[TAIL(1)] != head[1] -> skip
              :: else ->
#else
              :: true ->
#endif
end:                 atomic { eventfd[WRITER] > 0 -> eventfd[WRITER] = 0 }
              fi;
              store(WRITER, SLEEPING(WRITER), 0)
       fi
    od
}

init
{
    atomic {
        run core(0);
        run core(1);
        run writer();
        run drain(0);
        run drain(1);
        run drain(WRITER)
    }
}
