%% Takes everything from this node that its stop would interrupt, so that no task is done twice: queues are led elsewhere and clients connect
%% elsewhere while nothing is unacknowledged or unconfirmed. A drain alone moves no mirrored queue and closes connections as they
%% are. Prints how many queues, channels with tasks and channels with messages were still busy when the time was up. restart_now.yml binds
%% `Seconds`. Queues and channels may end meanwhile: hence the catches.
Deadline = erlang:monotonic_time(millisecond) + 1000 * Seconds,
Wait = fun Wait(Look) ->
    Left = Look(),
    case Left =:= [] orelse erlang:monotonic_time(millisecond) > Deadline of
        true -> length(Left);
        false -> timer:sleep(50), Wait(Look)
    end
end,
Queues = fun () ->
    [Q || Q <- rabbit_amqqueue:list(), amqqueue:is_classic(Q), amqqueue:is_durable(Q), not amqqueue:is_auto_delete(Q),
     amqqueue:get_exclusive_owner(Q) =:= none]
end,
%% The queue delivers nothing more to the consumer. Its channel, which is not told, consumes again when the queue has another leader.
Cancel = fun (Q, Where) ->
    catch [gen_server2:call(amqqueue:get_pid(Q), {basic_cancel, Channel, Tag, undefined, <<"hand-over">>}, infinity)
           || {Channel, Tag, _, _, _, _, _, _} <- rabbit_amqqueue:consumers(Q), Where =:= everywhere orelse node(Channel) =:= Where]
end,

%% The queues, each by itself: without consumers it soon has nothing unacknowledged. Its leader ends as if this node had left the policy,
%% when the mirrors have heard of the last acknowledgement.
Move = fun (Q) ->
    Cancel(Q, everywhere),
    Left = Wait(fun () -> [Count || [{_, Count}] <- [rabbit_amqqueue:info(Q, [messages_unacknowledged])], Count > 0] end),
    timer:sleep(200),
    exit(amqqueue:get_pid(Q), {shutdown, dropped}),
    Wait(fun () -> [Now || {ok, Now} <- [rabbit_amqqueue:lookup(amqqueue:get_name(Q))], node(amqqueue:get_pid(Now)) =:= node()] end),
    exit({left, Left})
end,
Moves = [spawn_monitor(fun () -> Move(Q) end)
         || Q <- Queues(), node(amqqueue:get_pid(Q)) =:= node(), amqqueue:get_slave_pids(Q) =/= [],
         amqqueue:get_slave_pids(Q) -- amqqueue:get_sync_slave_pids(Q) =:= []],
BusyQueues = lists:sum([receive {'DOWN', Monitor, process, _, {left, Left}} -> Left; {'DOWN', Monitor, process, _, _} -> 1 end || {_, Monitor} <- Moves]),

%% The clients: nothing more is sent to consumers, and when that is acknowledged nothing more is read from publishers. Not both at once, as a
%% worker waits for its events to be confirmed. Each takes two looks, as a channel answers before it takes what was delivered to it.
%% Listeners stay open until the end, as a HAProxy that finds them closed ends the connections.
Busy = fun (Act, Key) ->
    Act(),
    timer:sleep(50),
    [Channel || Channel <- rabbit_channel:list_local(), [{_, Count}] <- [catch rabbit_channel:info(Channel, [Key])], Count > 0]
end,
Settle = fun (Act, Key) -> Wait(fun () -> Busy(Act, Key) ++ Busy(Act, Key) end) end,
Unacknowledged = Settle(fun () -> [Cancel(Q, node()) || Q <- Queues()] end, messages_unacknowledged),
%% As if memory were short, which connections know how to bear.
Block = fun () -> [rabbit_reader:conserve_resources(Connection, memory, {undefined, true, undefined}) || Connection <- rabbit_networking:local_connections()] end,
Unconfirmed = Settle(Block, messages_unconfirmed),
try rabbit_maintenance:drain() catch exit:_ -> rabbit_maintenance:drain() end,
{BusyQueues, Unacknowledged, Unconfirmed}.
