// SPDX-License-Identifier: MIT
/*
 * Model of the coherence protocol: what two nodes and Redis tell each other about one key with one
 * tag. Every interleaving, within the budgets of a configuration.
 *
 *     test/model/run.sh coherence [NAME...]     all configurations, or some, with their mutants
 *     test/model/run.sh coherence long          larger budgets without mutants, some minutes
 *
 * A configuration is a list of -D for spin, in run.sh; what each does stands at its #ifndef. The
 * compiled model takes the rest from the environment: MUTANT=n breaks a rule, OLD=1 gives the rules
 * of wire version 1. Both must end in an error, in the configurations that run.sh names.
 *
 * What is modelled. The origin counts commits: its value is the number of the last. Redis is a
 * server (clk with id, seq, nonce, the tag's position and the registry; log; lease; one value per
 * schema) whose scripts are single steps. A failover puts an older copy in its place, under another
 * replid (a restart does so with a copy just made); a rollback does, under the same; with MOVES the
 * copy is a server of its own, to which connections go and from which they come back. Each node has
 * a keeper (beats, resyncs, renewals), a listener (frames come at any time, in any order, or not at
 * all), a flight (GET, LEASE, load, FILL, store) and a writer (invalidations, write-through, the
 * queue of what Redis has not accepted). Nodes begin with the first value in L1, in L2 and vouched
 * for. An answer is looked at any time after its script ran.
 *
 * How it is kept small.
 *   - Time: trust is a bit. What a node calls fresh must be as new as what was executed when the
 *     last beat that vouches was (`vouched`), a little more than is promised. DOUBT ends trust.
 *   - Tickets are bits, too: whether a floor was raised since they were taken.
 *   - A hit takes no step: HIT() is asserted wherever L1, trust or what is vouched for has changed.
 *   - The origin is read in the step of LEASE, and committed to in the step of the script: nobody
 *     is helped by reading earlier, or by an earlier commit.
 *   - A beat that would change nothing, whenever its answer came, is not sent.
 *   - Calls that share a script: one names the key or the tag (PAIRED) and may leave, the other
 *     something else; together two would be settled by each other's step.
 *   - Frames: that a node hears its own (OWN_FRAMES), and that applying has two steps (HALVES), is
 *     tried where it matters; INSTANT nodes have their beats answered at once.
 *   - 10 s, the memory of rule 13, are longer than everything (REISSUE) or shorter.
 *
 * Thousands of states: key 29, tag 219, gap 155, join 48, write 319, unknown 67 + 7,
 * pair 220 + 50 + 6, clk 336, failover 806, failclk 604, flap 660, start 355, rollback 556 + 48,
 * schemas 308 + 3 + 57 + 91. Together 5.0 million in 14 s, and 1.8 million of the mutants in 6 s, with an unoptimised build of
 * each, which takes a second; 40 s in all on one core of a server that had other things to do.
 *
 * Checked, by assertions:
 *   - L1 and L2 give nobody as fresh what is older than vouched for when the call began, or older
 *     than what this node has changed itself before (HIT, flight_answered, land).
 *   - L2 holds nothing that anybody would call fresh and that is older than an executed change,
 *     when it is stored, and after each change (IS_RIGHT).
 *   - One fill is accepted for one lease granted (`filled`); no rejected value is given back.
 *   - No renewal without a return or a rollback, and one for each at most: nodes do not renew for
 *     ever, and one flap makes one new id (`renewals`).
 * After a rollback or a move nobody can know at once; so the first two hold again from when every
 * node has met the server that all are connected to and has learnt the fate of its own changes
 * (recover). That is when rules 13 and 16 have done their work.
 *
 * Mutants, 10 * rule + n; each is "without this":
 *   state   1 groups, log and id of clk vanish together
 *   1      10 ticket before GET                      11 stamp before the load
 *   2      20 key: floor, then remove                21 group: G, then F
 *   3      30 floors judged at the store             31 floors of groups judged on a hit
 *   4      40 stamp >= G      41 stamp of the C followed      43 answer of the replid followed
 *   5      50 fill with the token only               52 a change drops the lease
 *          53 a rejected value is not given back     54 lease before the load
 *   6      60 overriding lease                       61 t >= floors before inserting
 *          62 L2 is nothing while queued             63 floors raised when the queue is accepted
 *          64 floors raised on the answer            65 unknown outcomes are queued
 *          66 who leaves others queues its items     67 one settles for all of them
 *          68 nobody returns before                  69 the script names what all of them do
 *   7      70 own frames are skipped only when done
 *   8      80 a gap is no next frame      81 a beat on its way is void      82 foreign C is noticed
 *   9      90 trust from the sending                 91 a hole in the log is noticed
 *          92 a resync reads the groups              93 ... and raises soft `all`
 *   10    100 flight above the floors when it lands
 *   11    110 nothing stored is fresh in doubt
 *   13    130 re-issue on following another clock
 *         131 ... and of what an older answer says another clock has accepted
 *   16    160 a beat, 161 a frame, 162 an own change is compared with the nonces met
 *         163 an identity that was left is renewed   164 an older answer is no evidence
 *         165 a renewal compares the id              166 a frame is no evidence of having left
 *         167 positions known are there              168 nonces of all positions met, not of A only
 *   schemas 170 a change names all schemas           171 ... and the token of the registry
 *         172 registered when stored                 173 registered again under another C
 *         174 a registration outlives its values     175 one lease for all schemas
 *         176 a fill names the token of the registry
 *
 * Not expressed. Rule 12: flights start at any time, a refresh is one of them; soft invalidation,
 * lifetimes and the server's clock. Rule 14, lagging origins, and rule 15, versions. Lengthened and
 * held leases (a flight that finds one ends). Overflow of the queue, of the log, of what is
 * remembered for rule 13. Nodes of wire version 1 beside these. Two rules have no mutant because
 * others make up for them here: that an envelope's home is compared (its C holds the replid, and
 * the answer's is compared), and that a fill goes to the connection that granted the lease (it
 * matters only before the recovery of a rollback). Memory order is ThreadSanitizer's business.
 */

/* ---- configuration: what run.sh passes with -D; budgets are 0 if not given ---- */

#ifndef READS0 /* flights of node 0 */
#define READS0 0
#endif
#ifndef READS1
#define READS1 0
#endif
#ifndef KEYS0 /* its invalidations of the key */
#define KEYS0 0
#endif
#ifndef KEYS1
#define KEYS1 0
#endif
#ifndef TAGS0 /* ... and of the tag */
#define TAGS0 0
#endif
#ifndef TAGS1
#define TAGS1 0
#endif
#ifndef OTHERS0 /* ... and of something else */
#define OTHERS0 0
#endif
#ifndef OTHERS1
#define OTHERS1 0
#endif
#ifndef WRITES0 /* its write-throughs */
#define WRITES0 0
#endif
#ifndef WRITES1
#define WRITES1 0
#endif
#ifndef PAIRS1 /* node 1's scripts for two calls: one names PAIRED, the other something else */
#define PAIRS1 0
#endif
#ifndef PAIRED
#define PAIRED KEY
#endif
#ifndef UNKNOWN /* changes whose outcome the issuer does not learn */
#define UNKNOWN 0
#endif
#ifndef LOST_REPLIES /* GETs without an answer, fills that do not arrive */
#define LOST_REPLIES 0
#endif
#ifndef CLKS /* times that the clock vanishes */
#define CLKS 0
#endif
#ifndef LOGS /* times that the log vanishes */
#define LOGS 0
#endif
#ifndef FAILOVERS
#define FAILOVERS 0
#endif
#ifndef ROLLBACKS
#define ROLLBACKS 0
#endif
#ifndef MOVES0 /* times that node 0 is connected to the other server */
#define MOVES0 0
#endif
#ifndef MOVES1
#define MOVES1 0
#endif
#ifndef TOGETHER /* both are, at the same moment */
#define TOGETHER 0
#endif
#ifndef SCHEMAS
#define SCHEMAS 1
#endif
#ifndef LAPSES /* times that a registration runs out */
#define LAPSES 0
#endif
#ifndef DOUBT /* trust may run out */
#define DOUBT 0
#endif
#ifndef EXPIRE /* the lease, the value may vanish at any time */
#define EXPIRE 0
#endif
#ifndef JOIN /* a second caller joins a flight */
#define JOIN 0
#endif
#ifndef HALVES /* a frame is applied in two steps */
#define HALVES 0
#endif
#ifndef REISSUE /* accepted changes are not older than 10 s when the clock is another */
#define REISSUE 0
#endif
#ifndef INSTANT /* nodes, as bits, whose beats are answered in the step that asks */
#define INSTANT 0
#endif
#ifndef OWN_FRAMES /* a node hears what it has published */
#define OWN_FRAMES 0
#endif
#ifndef STARTING /* node 1 has just been opened */
#define STARTING 0
#endif

#define MOVES (MOVES0 + MOVES1)
#define EXCUSED (ROLLBACKS + MOVES)
#if FAILOVERS + ROLLBACKS + MOVES
#define COPIES 1
#else
#define COPIES 0
#endif
#define CHANGES (KEYS0 + KEYS1 + TAGS0 + TAGS1 + OTHERS0 + OTHERS1 + WRITES0 + WRITES1 + \
                 PAIRS1)
#ifndef RECORDS
#define RECORDS (CHANGES + UNKNOWN) /* changes that Redis can execute, retries included */
#endif
#if RECORDS > 5 || MOVES0 > 3 || MOVES1 > 3
#error "numbers of three bits, and frames 1 to 5, are enough for less only"
#endif
#define RENEWED 8 /* nonces from here on were drawn with an id, those below are records */
#define UNSEEN 15
#define KEY 1 /* kinds of change, as bits */
#define TAG 2
#define BEAT 0 /* kinds of request of a keeper */
#define RESYNC 1
#define RENEW 2
#define HOME(c) ((c) >> 2)
#define ID(c) ((c) & 3)
#define BIT(x) (1 << (x))
#define WRITER(n) (8 + (n) + 2 * N[n].writes) /* token; fill id */
#if SCHEMAS > 1
#define OWN(n) (n)
#else
#define OWN(n) 0
#endif
#define LEASE(n) S[s].lease[(mutant == 175 -> OWN(n) : 0)]

/* ---- Redis ---- */

typedef server_t {
    unsigned replid : 2;
    unsigned id : 2; /* of clk; 0: clk is not there */
    unsigned seq : 3;
    unsigned nonce : 4;
    unsigned low : 3; /* the log has what came after this position */
    unsigned tag : 3; /* position of its last bump */
    byte lease[SCHEMAS]; /* token; 0: none. One for all schemas */
    unsigned filled : 1; /* ghost: since a lease was granted, a fill was accepted */
    byte val[SCHEMAS]; /* the value plus one; 0: nothing */
    byte vc[SCHEMAS]; /* its envelope: stamp (C, seq), home, fill id */
    byte vs[SCHEMAS];
    byte vh[SCHEMAS];
    byte vid[SCHEMAS];
    unsigned reg : 2; /* registry: a bit for each schema */
    unsigned rtok : 3; /* its token */
};
server_t S[COPIES + 1]; /* [1]: a copy; with MOVES a server of its own */

/* A change as Redis executed it: frame and log entry. Its number is its nonce. */
typedef record_t {
    unsigned c : 4;
    unsigned seq : 3;
    unsigned prev : 4; /* nonce of what was before it */
    unsigned kind : 2;
    unsigned by : 1;
    unsigned done : 1; /* its issuer has done the local step */
};
record_t R[RECORDS + 1];
unsigned records : 3;
unsigned ids : 3 = 1; /* drawn so far */
unsigned tokens : 3 = 1; /* of the registry */
unsigned origin : 3; /* the value there: the number of commits */
unsigned era : 3; /* servers or connections changed so often */
unsigned shows : 3; /* ... or identities: the order of answers, as far as it matters */

/* ---- nodes ---- */

typedef node_t {
    unsigned conn : 1; /* server of the data connection */
    unsigned moves : 2; /* times that it will be another */
    unsigned follows : 1;
    unsigned c : 4; /* identity followed, or followed last */
    unsigned a : 3; /* A */
    unsigned k : 3; /* K */
    byte seen[RECORDS + 1]; /* position -> nonce that was met there */
    unsigned g : 3; /* G of the tag */
    unsigned trust : 1;
    unsigned l1 : 3; /* the value plus one; 0: nothing */
    unsigned current : 1; /* no soft floor is above it */
    unsigned shown : 4; /* identity that answers have shown last */
    unsigned newest : 3; /* `shows` of the newest answer */
    unsigned left : 16; /* identities that were shown and then replaced */
    byte frames; /* on their way here, a bit for each record; never delivered: lost */
    unsigned half : 3; /* record half applied */

    unsigned queued : 2; /* kinds */
    unsigned queued_v : 3;
    unsigned recent : 2; /* kinds accepted in the last 10 s */
    unsigned recent_c : 4; /* identity they were accepted under; 0: several */

    /* keeper */
    unsigned next : 2; /* kind of the next request */
    unsigned next_id : 2; /* id to renew */
    unsigned asked : 1;
    unsigned voided : 1;
    unsigned kind : 2;
    unsigned after_a : 3; /* A and K when it was sent */
    unsigned after_k : 3;
    unsigned kc : 4; /* the answer */
    unsigned kseq : 3;
    unsigned knonce : 4;
    unsigned klow : 3;
    unsigned ktag : 3;
    unsigned kshows : 3;
    unsigned kera : 3;

    /* flight: 0 none 1 answered 2 to lease 3 to fill */
    unsigned reads : 2;
    unsigned fp : 2;
    unsigned low_key : 1; /* a floor of the key was raised since its ticket */
    unsigned low_group : 1; /* ... of a group, soft or hard */
    unsigned fc : 4; /* s of its ticket */
    unsigned fk : 3;
    unsigned token : 4;
    unsigned v : 3; /* value in the answer plus one; the loaded one plus one */
    unsigned vc : 4;
    unsigned vs : 3;
    unsigned vh : 2;
    unsigned vid : 4;
    unsigned ac : 4; /* clock of the answer */
    unsigned aseq : 3;
    unsigned anonce : 4;
    unsigned ahome : 2;
    unsigned ashows : 3;
    unsigned fera : 3; /* connection of the lease */
    unsigned leased : 1;
    unsigned fhome : 2;

    /* joiner of that flight */
    unsigned joined : 1;
    unsigned as_leader : 1; /* its ticket equals the flight's */
    unsigned join_trust : 1;

    /* writer: 0 idle 1 fenced 2 committed 3 answered */
    unsigned keys : 2;
    unsigned tags : 2;
    unsigned others : 2;
    unsigned writes : 2;
    unsigned pairs : 2;
    unsigned wp : 2;
    unsigned wkind : 2;
    unsigned wset : 1; /* a write; once answered: Redis has set the value */
    unsigned wv : 3;
    unsigned wrec : 3;
    unsigned mate : 2; /* kinds of a call that goes with it and has not left */
    unsigned wshows : 3;
    unsigned wera : 3;
    unsigned wlow : 1; /* a floor was raised since its ticket */
    unsigned wc : 4; /* s of the ticket, home of the lease */
    unsigned wk : 3;
    unsigned whome : 2;

    /* schemas */
    unsigned reg : 2; /* the registry as this node knows it */
    unsigned rtok : 3;
    unsigned cov_c : 4; /* its own schema is registered there: identity, token */
    unsigned cov_tok : 3;

    /* ghosts: what this node's answers must not be older than */
    unsigned vouched : 3; /* ... when trusted */
    unsigned own : 3; /* ... after its own changes */
    unsigned ksnap : 3; /* what the outstanding beat will vouch for */
    unsigned fsnap : 3; /* vouched, own at the start of the flight, of the joiner */
    unsigned fown : 3;
    unsigned jsnap : 3;
    unsigned jown : 3;
    unsigned met : 1; /* it has had a whole answer since servers changed */
};
node_t N[2];

/* ---- ghosts and budgets ---- */

unsigned executed : 3; /* newest change that Redis has executed */
bool recovered = true; /* promises hold: every node has met what changed */
unsigned renewals : 3;
unsigned returns : 3; /* faults that may each cost one renewal */
unsigned unknown : 3 = UNKNOWN;
unsigned lost : 3 = LOST_REPLIES;
unsigned clks : 3 = CLKS;
unsigned lapses : 3 = LAPSES;
unsigned logs : 3 = LOGS;
unsigned copies : 3 = COPIES;
unsigned failovers : 3 = FAILOVERS;
unsigned rollbacks : 3 = ROLLBACKS;

byte mutant;
bool new;

hidden byte c, i, m, r, s, limit;
hidden byte ok, rewound;

#define DUE (recovered -> executed : 0)
#define IDENTITY (S[s].id -> S[s].replid * 4 + S[s].id : 0)

/* A hit takes no step of its own: this holds at all times. */
#define HIT(n) assert(!recovered || !N[n].l1 || !N[n].current || !(N[n].trust || mutant == 110) || \
                      (N[n].l1 > N[n].vouched && N[n].l1 > N[n].own))

/* ---- rules 2 and 3: floors ---- */

inline raise_key(n) { N[n].low_key = N[n].fp > 0; N[n].wlow = N[n].wp > 0 }
inline raise_group(n) { N[n].low_group = N[n].fp > 0; N[n].wlow = N[n].wp > 0 }
#define LOW(n) (mutant != 30 && (N[n].low_key || N[n].low_group))

inline raise_soft_all(n) {
    raise_group(n);
    if
    :: mutant != 93 -> N[n].current = false
    :: else
    fi;
    if
    :: N[n].l1 == 0 -> N[n].current = false
    :: else
    fi
}

inline remove(n) { N[n].l1 = 0; N[n].current = false }

/* Rule 16: another change was met at this position before. */
#define DIFFERS(n, position, x) \
    (new && N[n].seen[position] != (x) && N[n].seen[position] != UNSEEN && \
     (mutant != 168 || (position) == N[n].a))

#define IS_OTHER_HISTORY(n, rec) \
    (DIFFERS(n, R[rec].seq, rec) || DIFFERS(n, R[rec].seq - 1, R[rec].prev))

inline known_raise(n, position, x) {
    N[n].seen[position] = x;
    if
    :: position > N[n].k -> N[n].k = position
    :: else
    fi
}

inline position_raise(n, sequence) {
    if
    :: N[n].g < sequence -> N[n].g = sequence
    :: else
    fi
}

/* Rule 2 for all items of a change; sequence 0: its position is unknown. */
inline apply_items(n, kinds, sequence) {
    if
    :: (kinds) & TAG ->
        position_raise(n, sequence);
        raise_group(n);
        if
        :: mutant != 31 -> remove(n)
        :: else
        fi
    :: else
    fi;
    if
    :: (kinds) & KEY -> raise_key(n); remove(n)
    :: else
    fi
}

inline applied(n, rec) {
    N[n].a = R[rec].seq;
#if !COPIES && !CLKS
    N[n].frames = N[n].frames & ~BIT(rec); /* it would be dropped */
#endif
    known_raise(n, R[rec].seq, rec)
}

#define SKIPPED(n, rec) (R[rec].by == n && (R[rec].done || mutant == 70))

inline apply(n, rec) {
    if
    :: !SKIPPED(n, rec) -> apply_items(n, R[rec].kind, R[rec].seq)
    :: else
    fi;
    applied(n, rec)
}

/* ---- rules 8 and 16: identities ---- */

inline forget(n) {
    N[n].voided = N[n].asked && mutant != 81;
    if
    :: N[n].follows ->
        N[n].follows = false;
        raise_soft_all(n)
    :: else
    fi;
    if
    :: N[n].next == BEAT -> N[n].next = RESYNC
    :: else
    fi
}

inline history_rewound(n, id_then) {
    forget(n);
    N[n].next = RENEW; N[n].next_id = id_then
}

/* Whether an answer that was executed then is evidence of anything: ok. */
inline note_identity(n, identity, then) {
    ok = (identity != 0);
    if
    :: ok && new ->
        ok = (then >= N[n].newest || mutant == 164);
        if
        :: ok ->
            if
            :: N[n].shown != identity && N[n].shown -> N[n].left = N[n].left | BIT(N[n].shown)
            :: else
            fi;
            N[n].newest = then; N[n].shown = identity
        :: else
        fi
    :: else
    fi
}

/* The clock in a script's answer. */
inline note(n, identity, sequence, nonce_then, then) {
    note_identity(n, identity, then);
    if
    :: N[n].follows && identity == N[n].c && ok ->
        if
        :: DIFFERS(n, sequence, nonce_then) -> history_rewound(n, ID(identity))
        :: else -> known_raise(n, sequence, nonce_then)
        fi
    :: N[n].follows && identity != N[n].c && ok && mutant != 82 -> forget(n)
    :: else
    fi
}

/* ---- ghosts ---- */

/* Promises hold again when every node has met the server that all are now connected to, and
 * nothing that one of them knows to be changed is still on its way. */
#define SETTLED(n) (N[n].met && N[n].queued == 0 && (N[n].wp != 3 || N[n].wera == era))
inline recover() {
#if EXCUSED
    if
    :: !recovered && SETTLED(0) && SETTLED(1) && N[0].conn == N[1].conn -> recovered = true
    :: else
    fi
#else
    skip
#endif
}

/* Servers or connections changed in a way that no node can see at once. */
inline excuse() {
    recovered = false;
    for (m : 0 .. 1) {
        N[m].met = false;
        N[m].vouched = 0; N[m].own = 0; N[m].ksnap = 0;
        N[m].fsnap = 0; N[m].fown = 0; N[m].jsnap = 0; N[m].jown = 0
    };
    skip /* spin wants a step after a loop */
}

/* ---- Redis: scripts; `s` is the server ---- */

inline ensure_clk() {
    if
    :: S[s].id == 0 ->
        ids++; shows++;
        S[s].id = ids; S[s].nonce = RENEWED + ids;
        S[s].seq = 0; S[s].low = 0; S[s].tag = 0; S[s].reg = 0; S[s].rtok = 0
    :: else
    fi
}

/* What anybody would call fresh is not older than a change that was executed. */
#define IS_RIGHT(x) assert(!recovered || !S[s].val[x] || S[s].val[x] > executed || \
    S[s].vc[x] != IDENTITY || S[s].vh[x] != S[s].replid || S[s].vs[x] < S[s].tag)

/* A change by node n, numbered `records`. */
inline execute(n, kinds, value) {
    ensure_clk();
    if
    :: (kinds) & KEY ->
        for (i : 0 .. SCHEMAS - 1) {
            if
            :: i == OWN(n) || (new && mutant != 170 && (N[n].reg & BIT(i))) ->
                S[s].val[i] = 0; S[s].vc[i] = 0; S[s].vs[i] = 0; S[s].vh[i] = 0; S[s].vid[i] = 0
            :: else
            fi
        };
        if
        :: mutant != 52 -> LEASE(n) = 0
        :: else
        fi
    :: else
    fi;
    S[s].seq++;
    records++;
    R[records].c = IDENTITY; R[records].seq = S[s].seq; R[records].prev = S[s].nonce;
    R[records].kind = kinds; R[records].by = n;
    S[s].nonce = records;
    if
    :: (kinds) & TAG -> S[s].tag = S[s].seq
    :: else
    fi;
    if
    :: OWN_FRAMES -> N[n].frames = N[n].frames | BIT(records)
    :: else
    fi;
    N[1 - n].frames = N[1 - n].frames | BIT(records);
    if
    :: executed < value -> executed = value
    :: else
    fi;
    IS_RIGHT(0);
#if SCHEMAS > 1
    IS_RIGHT(1)
#endif
}

/* Schema of node n is registered before its first value is there. */
inline cover(n) {
#if SCHEMAS > 1
    ok = N[n].cov_c == (mutant == 173 -> N[n].cov_c : N[n].c) &&
         (N[n].cov_tok == S[s].rtok || mutant == 173 || mutant == 176);
    if
    :: (N[n].cov_c && ok) || mutant == 172 -> skip
    :: else ->
        if
        :: S[s].id && !(S[s].reg & BIT(OWN(n))) ->
            S[s].reg = S[s].reg | BIT(OWN(n));
            tokens++;
            S[s].rtok = tokens
        :: else
        fi;
        N[n].cov_c = IDENTITY; N[n].cov_tok = S[s].rtok
    fi
#else
    skip
#endif
}

inline store(n, value, c_then, k_then, home_then, fill_id) {
    cover(n);
    S[s].val[OWN(n)] = value; S[s].vc[OWN(n)] = c_then; S[s].vs[OWN(n)] = k_then;
    S[s].vh[OWN(n)] = home_then; S[s].vid[OWN(n)] = fill_id;
    IS_RIGHT(OWN(n))
}

/* ---- rule 9: the keeper ---- */

/* Sent and executed in one step: what it vouches for is what was executed until then, which is
 * more than what was executed when it was sent. */
inline keeper_ask(n) {
    s = N[n].conn;
    ensure_clk();
    N[n].asked = true;
    N[n].kind = (N[n].follows || N[n].next != BEAT -> N[n].next : RESYNC);
    if
    :: N[n].kind == RENEW && (S[s].id == N[n].next_id || mutant == 165) ->
        ids++; shows++; renewals++;
        S[s].id = ids; S[s].nonce = RENEWED + ids; S[s].low = S[s].seq;
        assert(renewals <= returns)
    :: else
    fi;
    N[n].next = BEAT;
    N[n].after_a = N[n].a; N[n].after_k = N[n].k;
    N[n].kc = IDENTITY; N[n].kseq = S[s].seq; N[n].knonce = S[s].nonce; N[n].klow = S[s].low;
    N[n].ktag = S[s].tag; N[n].kshows = shows; N[n].kera = era; N[n].ksnap = DUE
}

inline vouch(n) {
    limit = (mutant == 90 -> DUE : N[n].ksnap);
    if
    :: !N[n].trust || N[n].vouched < limit -> N[n].vouched = limit
    :: else
    fi;
    N[n].trust = true;
    N[n].met = N[n].met || N[n].kera == era;
    recover()
}

/* The record at a position, or the last one before it: r. */
inline find(nonce_then, position) {
    r = nonce_then;
    do
    :: r < RENEWED && R[r].seq > position -> r = R[r].prev
    :: else -> break
    od
}
#define FOUND(position) (r > 0 && r < RENEWED && R[r].seq == position)

/* Rule 16: whether the answer of the clock followed shows another history. Sets rewound. */
inline check_history(n) {
    limit = (mutant == 167 -> N[n].after_a : N[n].after_k);
    rewound = new && mutant != 160 && (N[n].kseq < limit || DIFFERS(n, N[n].kseq, N[n].knonce));
    /* the entries of the log, and what the first of them came after */
    r = N[n].knonce;
    do
    :: r > 0 && r < RENEWED && R[r].seq > N[n].after_a && R[r].seq > N[n].klow ->
        rewound = rewound || (mutant != 160 && IS_OTHER_HISTORY(n, r));
        r = R[r].prev
    :: else -> break
    od
}

/* The log of a beat. ok: everything that Redis had is applied. */
inline apply_log(n) {
    ok = !rewound;
    do
    :: ok && N[n].a < N[n].kseq ->
        find(N[n].knonce, N[n].a + 1);
        if
        :: !FOUND(N[n].a + 1) || R[r].seq <= N[n].klow || R[r].c != N[n].c -> ok = false
        :: else -> apply(n, r)
        fi
    :: else -> break
    od;
    ok = ok || (mutant == 91 && !rewound)
}

inline reissue(n) {
    if
    :: N[n].recent && N[n].recent_c != N[n].c && mutant != 130 ->
        N[n].queued = N[n].queued | N[n].recent;
        N[n].recent = 0; N[n].recent_c = 0
    :: else
    fi
}

inline follow(n) {
    if
    :: N[n].c != N[n].kc -> for (i : 0 .. RECORDS) { N[n].seen[i] = UNSEEN }
    :: else
    fi;
    N[n].c = N[n].kc;
    reissue(n);
    N[n].follows = true;
    N[n].a = N[n].kseq; N[n].k = N[n].kseq; N[n].seen[N[n].kseq] = N[n].knonce;
    if
    :: mutant != 92 -> N[n].g = N[n].ktag
    :: else
    fi;
    raise_soft_all(n)
}

inline keeper_judge(n) {
    note_identity(n, N[n].kc, N[n].kshows);
    if
    :: !ok -> skip /* an older answer: another one */
    :: ok && N[n].kind == BEAT ->
        if
        :: !N[n].follows || N[n].kc != N[n].c -> forget(n)
        :: else ->
            check_history(n);
            apply_log(n);
            if
            :: ok -> vouch(n)
            :: !ok && rewound -> history_rewound(n, ID(N[n].kc))
            :: else -> forget(n)
            fi
        fi
    :: else ->
        rewound = false;
        if
        :: N[n].kc == N[n].c -> check_history(n)
        :: else
        fi;
        if
        :: new && ((N[n].left & BIT(N[n].kc)) || rewound) && mutant != 163 ->
            history_rewound(n, ID(N[n].kc))
        :: else -> follow(n); vouch(n)
        fi
    fi
}

inline keeper_answered(n) {
    N[n].asked = false;
    if
    :: N[n].voided -> N[n].next = (N[n].kind > N[n].next -> N[n].kind : N[n].next)
    :: else -> keeper_judge(n)
    fi;
    HIT(n);
    N[n].voided = false; N[n].kind = BEAT;
    N[n].after_a = 0; N[n].after_k = 0;
    N[n].kc = 0; N[n].kseq = 0; N[n].knonce = 0; N[n].klow = 0; N[n].ktag = 0;
    N[n].kshows = 0; N[n].kera = 0; N[n].ksnap = 0
}

/* ---- rule 8: the channel ---- */

inline hear_next(n) {
    if
    :: mutant != 161 && IS_OTHER_HISTORY(n, m) -> history_rewound(n, ID(R[m].c))
    :: else ->
        if
        :: HALVES && !SKIPPED(n, m) ->
            N[n].half = m;
            if
            :: (R[m].kind & KEY) && mutant != 20 -> raise_key(n)
            :: (R[m].kind & KEY) && mutant == 20 -> remove(n)
            :: (R[m].kind & TAG) && mutant != 21 -> position_raise(n, R[m].seq)
            :: else -> raise_group(n); remove(n)
            fi
        :: else -> apply(n, m)
        fi
    fi
}

inline other_half(n) {
    m = N[n].half;
    N[n].half = 0;
    if
    :: (R[m].kind & KEY) && mutant != 20 -> remove(n)
    :: (R[m].kind & KEY) && mutant == 20 -> raise_key(n)
    :: (R[m].kind & TAG) && mutant == 21 -> position_raise(n, R[m].seq)
    :: else -> raise_group(n); remove(n)
    fi;
    applied(n, m)
}

inline hear(n, rec) {
    m = rec;
    N[n].frames = N[n].frames & ~BIT(m);
    if
    :: N[n].follows && R[m].c == N[n].c ->
        if
        :: R[m].seq == N[n].a + 1 || (R[m].seq > N[n].a && mutant == 80) -> hear_next(n)
        :: R[m].seq > N[n].a + 1 && mutant != 80 ->
            if
            :: mutant != 161 && DIFFERS(n, R[m].seq, m) -> history_rewound(n, ID(R[m].c))
            :: else -> known_raise(n, R[m].seq, m)
            fi
        :: else
        fi
    :: else ->
        if
        :: mutant == 166 ->
            note_identity(n, R[m].c, N[n].newest);
            if
            :: N[n].follows -> forget(n)
            :: else
            fi
        :: else /* a beat, which comes anyhow */
        fi
    fi
}

/* ---- rules 3, 4, 5, 10: flights ---- */

#define COVERED(n) (N[n].queued && mutant != 62)
/* ... before it is known what tags the value has. */
#define KEY_COVERED(n) ((N[n].queued & KEY) && mutant != 62)

inline look(n) {
    N[n].v = S[s].val[OWN(n)]; N[n].vc = S[s].vc[OWN(n)]; N[n].vs = S[s].vs[OWN(n)];
    N[n].vh = S[s].vh[OWN(n)]; N[n].vid = S[s].vid[OWN(n)];
    N[n].ac = IDENTITY; N[n].aseq = S[s].seq; N[n].anonce = S[s].nonce;
    N[n].ahome = S[s].replid; N[n].ashows = shows
}

inline clear_answer(n) {
    N[n].vc = 0; N[n].vs = 0; N[n].vh = 0;
    N[n].ac = 0; N[n].aseq = 0; N[n].anonce = 0; N[n].ahome = 0; N[n].ashows = 0
}

/* The ticket, then the GET. Between them nothing of interest can happen to this node's floors: one
 * that is raised there only makes the ticket worth less. */
inline flight_start(n) {
    N[n].reads--;
    N[n].token = 1 + n + 2 * N[n].reads;
    N[n].fc = (N[n].follows -> N[n].c : 0); N[n].fk = N[n].k;
    N[n].fsnap = (N[n].trust -> N[n].vouched : 0); N[n].fown = N[n].own;
    s = N[n].conn;
    if
    :: KEY_COVERED(n) -> N[n].v = origin + 1; N[n].fp = 3
    :: else -> look(n); N[n].fp = 1
    fi
}

inline flight_end(n) {
    N[n].fp = 0; N[n].low_key = false; N[n].low_group = false;
    N[n].fc = 0; N[n].fk = 0; N[n].token = 0; N[n].v = 0; N[n].vid = 0;
    N[n].fsnap = 0; N[n].fown = 0; N[n].fera = 0; N[n].leased = false; N[n].fhome = 0;
    N[n].joined = false; N[n].as_leader = false; N[n].join_trust = false;
    N[n].jsnap = 0; N[n].jown = 0;
    clear_answer(n)
}

/* It lands with N[n].v, which the leader calls fresh. */
inline land(n) {
    if
    :: !LOW(n) -> N[n].l1 = N[n].v; N[n].current = true
    :: else
    fi;
    HIT(n);
#if JOIN
    assert(!N[n].joined || !((N[n].as_leader && N[n].join_trust) ||
                             ((!(N[n].low_key || N[n].low_group) || mutant == 100) &&
                              (N[n].join_trust || N[n].trust))) ||
           (N[n].v > N[n].jsnap && N[n].v > N[n].jown));
#endif
    flight_end(n)
}

#define JUDGED_FRESH(n) (N[n].v && N[n].follows && (N[n].trust || mutant == 110) && !COVERED(n) && \
    (N[n].ahome == HOME(N[n].c) || mutant == 43) && (N[n].vh == HOME(N[n].c) || mutant == 42) && \
    (N[n].vc == N[n].c || mutant == 41) && \
    (N[n].vs >= N[n].g || mutant == 40))

inline flight_answered(n) {
    note(n, N[n].ac, N[n].aseq, N[n].anonce, N[n].ashows);
    if
    :: JUDGED_FRESH(n) ->
        assert(!recovered || (N[n].v > N[n].fsnap && N[n].v > N[n].fown));
        if
        :: mutant == 10 -> N[n].low_key = false; N[n].low_group = false
        :: else
        fi;
        land(n)
    :: else ->
        N[n].fp = 2;
        if
        :: COVERED(n) -> N[n].fp = 3; N[n].v = origin + 1; N[n].vid = 0
        :: else -> N[n].v = (mutant == 54 -> N[n].v : 0)
        fi;
        clear_answer(n)
    fi
}

/* LEASE, and the read of the origin at once: the earlier it is, the older is what it finds. */
inline flight_lease(n) {
    s = N[n].conn;
    if
    :: KEY_COVERED(n) -> N[n].v = origin + 1; N[n].vid = 0; N[n].fp = 3
    :: !KEY_COVERED(n) && S[s].val[OWN(n)] && (S[s].vid[OWN(n)] != N[n].vid || mutant == 53) ->
        assert(S[s].vid[OWN(n)] != N[n].vid); /* or it would be rejected for ever */
        look(n);
        N[n].fp = 1
    :: else ->
        if
        :: LEASE(n) == 0 ->
            LEASE(n) = N[n].token;
            S[s].filled = false;
            N[n].leased = true; N[n].fera = era; N[n].fhome = S[s].replid;
            N[n].v = (mutant == 54 -> N[n].v : origin + 1); N[n].vid = 0;
            N[n].fp = 3
        :: else -> flight_end(n) /* held: it waits, and is another one then */
        fi
    fi
}

inline flight_fill(n) {
    s = N[n].conn;
    if
    :: N[n].leased && (N[n].fera == era || mutant == 51) && !COVERED(n) &&
       (LEASE(n) == N[n].token || mutant == 50) ->
        assert(!S[s].filled);
        LEASE(n) = 0;
        S[s].filled = true;
        limit = (mutant == 11 -> N[n].k : N[n].fk);
        store(n, N[n].v, N[n].fc, limit, N[n].fhome, N[n].token)
    :: else
    fi;
    land(n)
}

inline join(n) {
    N[n].joined = true;
    N[n].as_leader = !N[n].low_key && !N[n].low_group;
    N[n].join_trust = N[n].trust;
    N[n].jsnap = (N[n].trust -> N[n].vouched : 0); N[n].jown = N[n].own
}

/* ---- rules 6, 7, 13: changes ---- */

inline remember(n, kinds, identity) {
#if REISSUE
    N[n].recent_c = (N[n].recent && N[n].recent_c != identity -> 0 : identity);
    N[n].recent = N[n].recent | (kinds)
#else
    skip
#endif
}

inline queue(n, kinds, value) {
    N[n].queued = N[n].queued | (kinds);
    N[n].queued_v = value
}

/* The local step; sequence 0: the position is unknown. */
inline settle_items(n, kinds, sequence, value, insert) {
    ok = !N[n].wlow || mutant == 61; /* t >= floors, seen before they are raised */
    if
    :: mutant != 64 -> apply_items(n, kinds, sequence)
    :: else
    fi;
    if
    :: (insert) && ok -> N[n].l1 = value + 1; N[n].current = true
    :: else
    fi;
    N[n].own = (recovered && value > N[n].own -> value : N[n].own)
}

/* A change of this node stands at its position. */
inline accepted_at(n, rec) {
    if
    :: mutant != 162 && IS_OTHER_HISTORY(n, rec) ->
        history_rewound(n, ID(R[rec].c))
    :: else ->
        if
        :: R[rec].seq == N[n].a + 1 -> applied(n, rec)
        :: R[rec].seq > N[n].a + 1 -> known_raise(n, R[rec].seq, rec)
        :: else
        fi
    fi
}

/* Who settles does so for all whose items the script has. */
#define ITEMS_TO_SETTLE(n, rec) (mutant == 67 && PAIRS1 -> 0 : R[rec].kind)

/* An answered change: record rec, executed at `then`. */
inline settle(n, rec, then, value, insert) {
    note_identity(n, R[rec].c, then);
    if
    :: N[n].follows && R[rec].c == N[n].c ->
        settle_items(n, ITEMS_TO_SETTLE(n, rec), R[rec].seq, value, insert);
        R[rec].done = true;
        accepted_at(n, rec);
        remember(n, R[rec].kind, R[rec].c)
    :: else ->
        if
        :: ok && mutant != 82 -> forget(n)
        :: else
        fi;
        if
        :: !ok && new && mutant != 131 -> queue(n, R[rec].kind, value)
        :: else -> remember(n, R[rec].kind, R[rec].c)
        fi;
        settle_items(n, ITEMS_TO_SETTLE(n, rec), 0, value, insert)
    fi
}

/* An invalidation. */
inline write_commit(n, kinds) {
    origin = origin + ((kinds) -> 1 : 0);
    N[n].wv = ((kinds) -> origin : 0); N[n].wkind = kinds; N[n].wp = 2
}

/* Rule 6: the lease is the writer's, whoever has it. */
inline write_fence(n) {
    N[n].writes--;
    s = N[n].conn;
    N[n].wp = 1; N[n].wset = true; N[n].wkind = KEY;
    N[n].wc = (N[n].follows -> N[n].c : 0); N[n].wk = N[n].k;
    N[n].whome = S[s].replid;
    LEASE(n) = WRITER(n)
}

inline write_end(n) {
    HIT(n);
    N[n].wp = 0; N[n].wkind = 0; N[n].wset = false; N[n].wv = 0; N[n].wrec = 0; N[n].wshows = 0;
    N[n].mate = 0; N[n].wera = 0; N[n].wlow = false; N[n].wc = 0; N[n].wk = 0; N[n].whome = 0
}

/* The script, with its answer on the way. */
inline write_execute(n) {
    s = N[n].conn;
    if
    :: SCHEMAS > 1 && new && mutant != 171 && N[n].rtok != S[s].rtok ->
        N[n].reg = S[s].reg; N[n].rtok = S[s].rtok /* MOVED */
    :: else ->
        N[n].wset = N[n].wset && (LEASE(n) == WRITER(n) || mutant == 60);
        execute(n, (mutant == 69 && N[n].mate -> 0 : N[n].wkind), N[n].wv);
        if
        :: N[n].wset -> store(n, N[n].wv + 1, N[n].wc, N[n].wk, N[n].whome, WRITER(n))
        :: else
        fi;
        if
        :: mutant == 64 -> apply_items(n, N[n].wkind, 0)
        :: else
        fi;
        N[n].wrec = records; N[n].wshows = shows; N[n].wera = era; N[n].wp = 3
    fi
}

inline write_answered(n) {
    N[n].met = N[n].met && N[n].wera == era;
    N[n].kera = (N[n].wera == era || !N[n].asked -> N[n].kera : 7); /* no era */
    settle(n, N[n].wrec, N[n].wshows, N[n].wv, N[n].wset);
    write_end(n);
    recover()
}

/* The commit is the script's step, the last moment for it: who reads the origin earlier finds what
 * is newer than it need be. */
inline invalidate(n, kinds) {
    write_commit(n, kinds);
#if SCHEMAS == 1
    write_execute(n)
#endif
}

/* Two calls in one script, which waits to be sent. */
inline join_pair(n) {
    N[n].pairs--;
    write_commit(n, PAIRED);
    N[n].mate = PAIRED
}

/* One of them leaves at its deadline: it queues its own items, and does its local step, whatever
 * becomes of the script. */
inline leave_pair(n) {
    if
    :: mutant != 66 -> queue(n, N[n].mate, N[n].wv)
    :: else
    fi;
    settle_items(n, N[n].mate, 0, N[n].wv, false);
    N[n].mate = 0;
    HIT(n)
}

/* ... or (mutant 68) returns when the answer is there, before anybody has settled it. */
inline return_early(n) {
    N[n].own = (recovered && N[n].wv > N[n].own -> N[n].wv : N[n].own);
    N[n].mate = 0;
    HIT(n)
}

/* Its outcome is unknown: queue first, then F. */
inline write_unknown(n) {
    if
    :: mutant != 65 -> queue(n, N[n].wkind, N[n].wv)
    :: else
    fi;
    settle_items(n, N[n].wkind, 0, N[n].wv, false);
    write_end(n);
    recover()
}

/* A retry, with its answer. */
inline queue_retry(n) {
    s = N[n].conn;
    m = N[n].queued;
    execute(n, m, N[n].queued_v);
    N[n].queued = 0; N[n].queued_v = 0;
    c = IDENTITY;
    note_identity(n, c, shows);
    if
    :: N[n].follows && N[n].c == c ->
        if
        :: mutant != 63 -> apply_items(n, m, S[s].seq)
        :: else
        fi;
        R[records].done = true;
        accepted_at(n, records)
    :: else ->
        forget(n);
        apply_items(n, m, 0)
    fi;
    remember(n, m, c);
    HIT(n);
    recover()
}

/* ---- the nodes ---- */

#define CLK_CAN_BE_MADE(n) (S[N[n].conn].id || ids < 3)
#define CAN_CHANGE(n) (CLK_CAN_BE_MADE(n) && records < RECORDS)
#define FREE(n) (N[n].half == 0) /* of the apply lock */
/* A beat now would change nothing, whenever its answer comes. */
#define NOTHING_NEW(n) \
    (N[n].follows && N[n].trust && N[n].next == BEAT && N[n].met && S[N[n].conn].id && \
     N[n].c == S[N[n].conn].replid * 4 + S[N[n].conn].id && N[n].a == S[N[n].conn].seq && \
     N[n].k == N[n].a && N[n].seen[N[n].a] == S[N[n].conn].nonce && \
     N[n].vouched == DUE && mutant != 90)
#define CAN_ASK(n) \
    (!N[n].asked && FREE(n) && CLK_CAN_BE_MADE(n) && (N[n].next != RENEW || ids < 3) && \
     !NOTHING_NEW(n))

proctype node(byte n) {
    do
    /* keeper */
    :: d_step { CAN_ASK(n) ->
        keeper_ask(n);
        if
        :: INSTANT & BIT(n) -> keeper_answered(n)
        :: else
        fi }
    :: d_step { N[n].asked && FREE(n) -> keeper_answered(n) }
    :: d_step { N[n].queued && FREE(n) && CAN_CHANGE(n) -> queue_retry(n) }
#if DOUBT
    :: d_step { N[n].trust -> N[n].trust = false; N[n].vouched = executed; HIT(n) }
#endif

    /* listener */
    :: d_step { FREE(n) && (N[n].frames & BIT(1)) -> hear(n, 1) }
#if RECORDS > 1
    :: d_step { FREE(n) && (N[n].frames & BIT(2)) -> hear(n, 2) }
#endif
#if RECORDS > 2
    :: d_step { FREE(n) && (N[n].frames & BIT(3)) -> hear(n, 3) }
#endif
#if RECORDS > 3
    :: d_step { FREE(n) && (N[n].frames & BIT(4)) -> hear(n, 4) }
#endif
#if RECORDS > 4
    :: d_step { FREE(n) && (N[n].frames & BIT(5)) -> hear(n, 5) }
#endif
#if HALVES
    :: d_step { N[n].half -> other_half(n) }
#endif

    /* flight */
    :: d_step { N[n].fp == 0 && N[n].reads > 0 ->
        flight_start(n) }
    :: d_step { N[n].fp == 1 -> flight_answered(n) }
    :: d_step { N[n].fp == 2 -> flight_lease(n) }
    :: d_step { N[n].fp == 3 -> flight_fill(n) }
#if LOST_REPLIES
    :: d_step { N[n].fp == 1 && lost -> lost--; clear_answer(n); N[n].v = origin + 1; N[n].fp = 3 }
    :: d_step { N[n].fp == 3 && lost -> lost--; land(n) }
#endif
#if JOIN
    :: d_step { N[n].fp > 0 && !N[n].joined && !N[n].low_key -> join(n) }
#endif

    /* writer */
#if KEYS0 + KEYS1
    :: d_step { N[n].wp == 0 && N[n].keys && CAN_CHANGE(n) -> N[n].keys--; invalidate(n, KEY) }
#endif
#if TAGS0 + TAGS1
    :: d_step { N[n].wp == 0 && N[n].tags && CAN_CHANGE(n) -> N[n].tags--; invalidate(n, TAG) }
#endif
#if OTHERS0 + OTHERS1
    :: d_step { N[n].wp == 0 && N[n].others && CAN_CHANGE(n) -> N[n].others--; invalidate(n, 0) }
#endif
#if WRITES0 + WRITES1
    :: d_step { N[n].wp == 0 && N[n].writes -> write_fence(n) }
    :: d_step { N[n].wp == 1 -> write_commit(n, KEY) }
#endif
#if PAIRS1
    :: d_step { N[n].wp == 0 && N[n].pairs && CAN_CHANGE(n) -> join_pair(n) }
    :: d_step { N[n].mate && FREE(n) -> leave_pair(n) }
    :: d_step { mutant == 68 && N[n].mate && N[n].wp == 3 -> return_early(n) }
#endif
    :: d_step { N[n].wp == 2 && CAN_CHANGE(n) -> write_execute(n) }
    :: d_step { N[n].wp == 3 && FREE(n) -> write_answered(n) }
#if UNKNOWN
    :: d_step { unknown && N[n].wp >= 2 && FREE(n) -> unknown--; write_unknown(n) }
    :: d_step { unknown && N[n].wp == 0 && N[n].tags && FREE(n) ->
        unknown--; N[n].tags--; write_commit(n, TAG); write_unknown(n) }
    :: d_step { unknown && N[n].wp == 0 && N[n].keys && FREE(n) ->
        unknown--; N[n].keys--; write_commit(n, KEY); write_unknown(n) }
#endif

#if MOVES && !TOGETHER
    :: d_step { N[n].moves && copies == 0 ->
        N[n].moves--;
        N[n].conn = 1 - N[n].conn;
        returns = returns + (N[n].moves + 1 < (n == 0 -> MOVES0 : MOVES1));
        era++; shows++;
        excuse()
    }
#endif
    od
}

/* ---- what happens to Redis ---- */

inline vanish(x) {
    S[0].val[x] = 0; S[0].vc[x] = 0; S[0].vs[x] = 0; S[0].vh[x] = 0; S[0].vid[x] = 0
}

inline copy_server(to, from) {
    S[to].replid = S[from].replid; S[to].id = S[from].id; S[to].seq = S[from].seq;
    S[to].nonce = S[from].nonce; S[to].low = S[from].low; S[to].tag = S[from].tag;
    S[to].filled = S[from].filled; S[to].reg = S[from].reg; S[to].rtok = S[from].rtok;
    for (i : 0 .. SCHEMAS - 1) {
        S[to].lease[i] = S[from].lease[i]; S[to].val[i] = S[from].val[i];
        S[to].vc[i] = S[from].vc[i]; S[to].vs[i] = S[from].vs[i];
        S[to].vh[i] = S[from].vh[i]; S[to].vid[i] = S[from].vid[i]
    };
    skip
}

inline drop_copy() {
    S[1].replid = 0; S[1].id = 0; S[1].seq = 0; S[1].nonce = 0; S[1].low = 0; S[1].tag = 0;
    S[1].filled = false; S[1].reg = 0; S[1].rtok = 0;
    for (i : 0 .. SCHEMAS - 1) {
        S[1].lease[i] = 0; S[1].val[i] = 0; S[1].vc[i] = 0; S[1].vs[i] = 0; S[1].vh[i] = 0;
        S[1].vid[i] = 0
    };
    skip
}

proctype redis() {
    do
#if EXPIRE
    :: d_step { S[0].lease[0] -> S[0].lease[0] = 0 }
    :: d_step { S[0].val[0] -> vanish(0) }
#if SCHEMAS > 1
    :: d_step { S[0].val[1] -> vanish(1) }
#endif
#endif
#if CLKS
    :: d_step { clks && S[0].id ->
        clks--; shows++;
        S[0].tag = 0; S[0].low = S[0].seq;
        if
        :: mutant == 1 -> skip
        :: else ->
            S[0].id = 0; S[0].nonce = 0; S[0].seq = 0; S[0].low = 0;
            S[0].reg = 0; S[0].rtok = 0
        fi }
#endif
#if LOGS
    :: d_step { logs && S[0].seq > S[0].low -> logs--; S[0].low = S[0].seq }
#endif
#if LAPSES
    /* Values are gone before their registration is, and their node knows when that is. */
    :: d_step { lapses && (S[0].reg & BIT(1)) && (!S[0].val[1] || mutant == 174) ->
        lapses--; tokens++;
        S[0].reg = S[0].reg & ~BIT(1); S[0].rtok = tokens;
        N[1].cov_c = 0; N[1].cov_tok = 0 }
#endif
#if COPIES
    :: d_step { copies -> copies = 0; copy_server(1, 0);
        if
        :: MOVES > 0 -> S[1].replid = 2
        :: else
        fi }
#endif
#if FAILOVERS
    :: d_step { failovers && copies == 0 ->
        failovers--;
        copy_server(0, 1); drop_copy();
        S[0].replid = 2; era++; shows++ }
#endif
#if ROLLBACKS
    :: d_step { rollbacks && copies == 0 ->
        rollbacks--;
        copy_server(0, 1); drop_copy();
        era++; shows++; returns++;
        excuse() }
#endif
#if TOGETHER
    :: d_step { N[0].moves && copies == 0 ->
        N[0].moves--;
        N[0].conn = 1 - N[0].conn; N[1].conn = N[0].conn;
        returns = returns + (N[0].moves + 1 < MOVES0);
        era++; shows++;
        excuse() }
#endif
    :: false
    od
}

inline start(n) {
    N[n].follows = true; N[n].c = 5; N[n].shown = 5; N[n].trust = true;
    N[n].l1 = 1; N[n].current = true; N[n].met = true
}

init {
    atomic {
        d_step {
            c_code {
                const char *chosen = getenv("MUTANT"), *old = getenv("OLD");
                now.mutant = chosen ? atoi(chosen) : 0;
                now.new = !old;
            };
            S[0].replid = 1; S[0].id = 1;
            S[0].val[0] = 1; S[0].vc[0] = 5; S[0].vh[0] = 1; S[0].vid[0] = 15;
            for (i : 1 .. RECORDS) { N[0].seen[i] = UNSEEN; N[1].seen[i] = UNSEEN };
            start(0);
            if
            :: STARTING -> N[1].next = RESYNC
            :: else -> start(1)
            fi;
            N[0].reads = READS0; N[1].reads = READS1;
            N[0].keys = KEYS0; N[1].keys = KEYS1;
            N[0].tags = TAGS0; N[1].tags = TAGS1;
            N[0].others = OTHERS0; N[1].others = OTHERS1;
            N[0].writes = WRITES0; N[1].writes = WRITES1;
            N[1].pairs = PAIRS1;
#if MOVES
            N[0].moves = MOVES0; N[1].moves = MOVES1;
#endif
#if SCHEMAS > 1
            S[0].reg = 1; S[0].rtok = 1;
            N[0].cov_c = 5; N[0].cov_tok = 1; N[0].reg = 1; N[0].rtok = 1;
#endif
        };
        run node(0); run node(1); run redis()
    }
}
