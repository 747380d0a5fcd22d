<?php

declare(strict_types=1);

namespace Nivisco\Payments\Result;

/** What `get_user_info` answers. Generated: do not edit. */
final class GetUserInfoResult
{
    /** The user. */
    public GetUserInfoUser $user;

    /**
     * @internal
     *
     * @param array<string, mixed> $answer
     */
    public static function read(array $answer): self
    {
        $result = new self();
        $result->user = GetUserInfoUser::read($answer['user']);

        return $result;
    }
}
